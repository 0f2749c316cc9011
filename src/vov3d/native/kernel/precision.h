// What a precision is: how activations lie in memory and how a product of them with weights is summed.
//
// All arithmetic that is not a product is in vectors of float32, one channel a lane. A *word* is the 4 bytes of an
// activation that one instruction broadcasts: one float32, two bfloat16 or four int8 neighbouring channels.
#pragma once
#include <cstring>

#include "vector.h"

namespace vov3d {

constexpr long rounded_up(long value, long multiple) { return (value + multiple - 1) / multiple * multiple; }

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
  Vector power[COUNT], rest[COUNT];
  for_each<COUNT>([&](int i) { power[i] = x[i] * all(-1.44269504f); });
  for_each<COUNT>([&](int i) { power[i] = bounded(power[i]); });
  for_each<COUNT>([&](int i) { rest[i] = fraction(power[i]); });
  for_each<COUNT>([&](int i) { sum[i] = all(polynomial[0]); });
#pragma GCC unroll 8
  for (int term = 1; term < TERMS; ++term)
    for_each<COUNT>([&](int i) { sum[i] = fmadd(sum[i], rest[i], all(polynomial[term])); });
  for_each<COUNT>([&](int i) { sum[i] = scaled(sum[i], power[i]); });
  for_each<COUNT>([&](int i) { sum[i] += all(1.f); });
}

struct Float32 {
  using Element = float;
  static constexpr int PER_WORD = 1;

  static Element narrow(float value) { return value; }
  static Vector add_product(Vector sum, Words word, Words weights) { return fmadd(floats(word), floats(weights), sum); }

  // To a few units in the last place.
  template <int COUNT>
  [[gnu::always_inline]] static void swish(Vector (&x)[COUNT]) {
    Vector below[COUNT], guess[COUNT];
    one_plus_exp(x, {1.8775767e-3f, 8.9893397e-3f, 5.5826318e-2f, 0.24015361f, 0.69315308f, 1.f}, below);
    for_each<COUNT>([&](int i) { guess[i] = nearly_inverse(below[i]); });
    for_each<COUNT>([&](int i) { below[i] = fmadd(-below[i], guess[i], all(2.f)); });
    for_each<COUNT>([&](int i) { x[i] *= guess[i] * below[i]; });
  }
};

#if defined(__AVX512BF16__)
// Elements of 16 bits are bfloat16.
inline Vector widened(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
inline __m256i narrowed(Vector x) { return (__m256i)_mm512_cvtneps_pbh(x); }
inline Vector load(const std::uint16_t* at) { return widened(_mm256_loadu_si256((const __m256i*)at)); }
inline Vector load(const std::uint16_t* at, Mask lanes) { return widened(_mm256_maskz_loadu_epi16(lanes, at)); }
inline void store(std::uint16_t* at, Vector x) { _mm256_storeu_si256((__m256i*)at, narrowed(x)); }
inline void store(std::uint16_t* at, Vector x, Mask lanes) { _mm256_mask_storeu_epi16(at, lanes, narrowed(x)); }
inline void store(std::uint16_t* at, __m128 x) { _mm_storel_epi64((__m128i*)at, (__m128i)_mm_cvtneps_pbh(x)); }

struct BFloat16 {
  using Element = std::uint16_t;
  static constexpr int PER_WORD = 2;

  static Element narrow(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return Element((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  static Vector add_product(Vector sum, Words word, Words weights) {
    return _mm512_dpbf16_ps(sum, (__m512bh)word, (__m512bh)weights);
  }

  // To 2e-4 relative: bfloat16 keeps 4e-3.
  template <int COUNT>
  [[gnu::always_inline]] static void swish(Vector (&x)[COUNT]) {
    Vector below[COUNT];
    one_plus_exp(x, {0.078024521f, 0.22606716f, 0.69583356f, 0.99992520f}, below);
    for_each<COUNT>([&](int i) { x[i] *= nearly_inverse(below[i]); });
  }
};
#endif

}  // namespace vov3d
