// What a precision is: how activations lie in memory and how a product of them with weights is summed.
//
// All arithmetic that is not a product is in float32 vectors of 16 channels. A *word* is the 4 bytes of an activation
// that one instruction broadcasts: one float32, two bfloat16 or four int8 neighbouring channels.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace vov3d {

constexpr int LANES = 16;

using Vector = __m512;
using Mask = __mmask16;

constexpr long rounded_up(long value, long multiple) { return (value + multiple - 1) / multiple * multiple; }

inline Mask first_lanes(int count) { return count >= LANES ? Mask(0xffff) : Mask((1u << count) - 1); }

inline Vector relu(Vector x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }

// One instruction for each of some vectors, then the next for each: alone, every vector would wait for itself.
template <int COUNT, class Work>
[[gnu::always_inline]] inline void for_each(const Work& work) {
#pragma GCC unroll 8
  for (int i = 0; i < COUNT; ++i) work(i);
}

// 1 + e^-x, which Swish divides x by; the polynomial, highest power first, is 2^f for a fraction f.
template <int COUNT, int TERMS>
[[gnu::always_inline]] inline void one_plus_exp(const Vector (&x)[COUNT], const float (&polynomial)[TERMS],
                                                Vector (&sum)[COUNT]) {
  Vector power[COUNT], fraction[COUNT];
  for_each<COUNT>([&](int i) { power[i] = _mm512_mul_ps(x[i], _mm512_set1_ps(-1.44269504f)); });
  for_each<COUNT>([&](int i) { power[i] = _mm512_min_ps(_mm512_set1_ps(126.f), power[i]); });
  for_each<COUNT>([&](int i) { fraction[i] = _mm512_reduce_ps(power[i], _MM_FROUND_TO_NEG_INF); });
  for_each<COUNT>([&](int i) { sum[i] = _mm512_set1_ps(polynomial[0]); });
#pragma GCC unroll 8
  for (int term = 1; term < TERMS; ++term)
    for_each<COUNT>([&](int i) { sum[i] = _mm512_fmadd_ps(sum[i], fraction[i], _mm512_set1_ps(polynomial[term])); });
  for_each<COUNT>([&](int i) { sum[i] = _mm512_scalef_ps(sum[i], power[i]); });
  for_each<COUNT>([&](int i) { sum[i] = _mm512_add_ps(sum[i], _mm512_set1_ps(1.f)); });
}

struct Float32 {
  using Element = float;
  using Sum = __m512;
  static constexpr int PER_WORD = 1;

  static Element narrow(float value) { return value; }
  static Vector load(const Element* at) { return _mm512_loadu_ps(at); }
  static Vector load(const Element* at, Mask lanes) { return _mm512_maskz_loadu_ps(lanes, at); }
  static void store(Element* at, Vector x) { _mm512_storeu_ps(at, x); }
  static void store(Element* at, Vector x, Mask lanes) { _mm512_mask_storeu_ps(at, lanes, x); }
  static void store(Element* at, __m128 x) { _mm_storeu_ps(at, x); }
  static Sum first_sum(const float* bias) { return _mm512_load_ps(bias); }
  static Sum add_product(Sum sum, __m512i word, __m512i weights) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word), _mm512_castsi512_ps(weights), sum);
  }

  // To a few units in the last place.
  template <int COUNT>
  [[gnu::always_inline]] static void swish(Vector (&x)[COUNT]) {
    Vector below[COUNT], guess[COUNT];
    one_plus_exp(x, {1.8775767e-3f, 8.9893397e-3f, 5.5826318e-2f, 0.24015361f, 0.69315308f, 1.f}, below);
    for_each<COUNT>([&](int i) { guess[i] = _mm512_rcp14_ps(below[i]); });
    for_each<COUNT>([&](int i) { below[i] = _mm512_fnmadd_ps(below[i], guess[i], _mm512_set1_ps(2.f)); });
    for_each<COUNT>([&](int i) { x[i] = _mm512_mul_ps(x[i], _mm512_mul_ps(guess[i], below[i])); });
  }
};

#if defined(__AVX512BF16__)
struct BFloat16 {
  using Element = std::uint16_t;
  using Sum = __m512;
  static constexpr int PER_WORD = 2;

  static Element narrow(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return Element((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  static Vector widen(__m256i narrow) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
  }
  static __m256i narrow(Vector x) { return (__m256i)_mm512_cvtneps_pbh(x); }
  static Vector load(const Element* at) { return widen(_mm256_loadu_si256((const __m256i*)at)); }
  static Vector load(const Element* at, Mask lanes) { return widen(_mm256_maskz_loadu_epi16(lanes, at)); }
  static void store(Element* at, Vector x) { _mm256_storeu_si256((__m256i*)at, narrow(x)); }
  static void store(Element* at, Vector x, Mask lanes) { _mm256_mask_storeu_epi16(at, lanes, narrow(x)); }
  static void store(Element* at, __m128 x) { _mm_storel_epi64((__m128i*)at, (__m128i)_mm_cvtneps_pbh(x)); }
  static Sum first_sum(const float* bias) { return _mm512_load_ps(bias); }
  static Sum add_product(Sum sum, __m512i word, __m512i weights) {
    return _mm512_dpbf16_ps(sum, (__m512bh)word, (__m512bh)weights);
  }

  // To 2e-4 relative: bfloat16 keeps 4e-3.
  template <int COUNT>
  [[gnu::always_inline]] static void swish(Vector (&x)[COUNT]) {
    Vector below[COUNT];
    one_plus_exp(x, {0.078024521f, 0.22606716f, 0.69583356f, 0.99992520f}, below);
    for_each<COUNT>([&](int i) { x[i] = _mm512_mul_ps(x[i], _mm512_rcp14_ps(below[i])); });
  }
};
#endif

}  // namespace vov3d
