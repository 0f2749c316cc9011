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

struct Float32 {
  using Element = float;
  using Sum = __m512;
  static constexpr int PER_WORD = 1;

  static Element narrow(float value) { return value; }
  static Vector load(const Element* at) { return _mm512_loadu_ps(at); }
  static Vector load(const Element* at, Mask lanes) { return _mm512_maskz_loadu_ps(lanes, at); }
  static void store(Element* at, Vector x) { _mm512_storeu_ps(at, x); }
  static void store(Element* at, Vector x, Mask lanes) { _mm512_mask_storeu_ps(at, lanes, x); }
  static Sum add_product(Sum sum, __m512i word, __m512i weights) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word), _mm512_castsi512_ps(weights), sum);
  }

  // x * sigmoid(x), to 2 units in the last place or so.
  static Vector swish(Vector x) {
    const Vector power = _mm512_max_ps(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)), _mm512_set1_ps(-126.f));
    const Vector bounded = _mm512_min_ps(power, _mm512_set1_ps(126.f));
    const Vector whole = _mm512_roundscale_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vector part = _mm512_sub_ps(bounded, whole);
    Vector e = _mm512_set1_ps(1.5403530e-4f);
    for (float coefficient : {1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.f})
      e = _mm512_fmadd_ps(e, part, _mm512_set1_ps(coefficient));
    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(whole), 23);
    e = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(e), exponent));
    const Vector below = _mm512_add_ps(e, _mm512_set1_ps(1.f));
    const Vector guess = _mm512_rcp14_ps(below);
    const Vector inverse = _mm512_mul_ps(guess, _mm512_fnmadd_ps(below, guess, _mm512_set1_ps(2.f)));
    return _mm512_mul_ps(x, inverse);
  }
};

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
  static Sum add_product(Sum sum, __m512i word, __m512i weights) {
    return _mm512_dpbf16_ps(sum, (__m512bh)word, (__m512bh)weights);
  }

  // x * sigmoid(x), to 1e-4 relative: bfloat16 keeps 4e-3.
  static Vector swish(Vector x) {
    const Vector power = _mm512_max_ps(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)), _mm512_set1_ps(-126.f));
    const Vector bounded = _mm512_min_ps(power, _mm512_set1_ps(126.f));
    const Vector whole = _mm512_roundscale_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vector part = _mm512_sub_ps(bounded, whole);
    Vector e = _mm512_set1_ps(5.5504109e-2f);
    for (float coefficient : {2.4022651e-1f, 6.9314718e-1f, 1.f})
      e = _mm512_fmadd_ps(e, part, _mm512_set1_ps(coefficient));
    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(whole), 23);
    e = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(e), exponent));
    return _mm512_mul_ps(x, _mm512_rcp14_ps(_mm512_add_ps(e, _mm512_set1_ps(1.f))));
  }
};

}  // namespace vov3d
