// Float32 vectors: 16 lanes where there is AVX-512, else 8 of AVX2. Only bfloat16 and int8, which are AVX-512's alone,
// name instructions elsewhere.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace vov3d {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

constexpr int LANES = 16, REGISTERS = 32;
using Vector = __m512;
using Words = __m512i;
using Mask = __mmask16;

inline Mask first_lanes(int count) { return count >= LANES ? Mask(0xffff) : Mask((1u << count) - 1); }

inline Vector all(float x) { return _mm512_set1_ps(x); }
inline Words all(std::int32_t word) { return _mm512_set1_epi32(word); }
inline Vector load(const float* at) { return _mm512_loadu_ps(at); }
inline Vector load(const float* at, Mask lanes) { return _mm512_maskz_loadu_ps(lanes, at); }
inline void store(float* at, Vector x) { _mm512_storeu_ps(at, x); }
inline void store(float* at, Vector x, Mask lanes) { _mm512_mask_storeu_ps(at, lanes, x); }

inline Vector floats(Words x) { return _mm512_castsi512_ps(x); }
inline Vector fmadd(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
inline Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
inline Vector nearly_inverse(Vector x) { return _mm512_rcp14_ps(x); }

// 2^power: what of the power the next two can take, what is above its floor, and x times two to its floor.
inline Vector bounded(Vector power) { return min(all(126.f), power); }
inline Vector fraction(Vector power) { return _mm512_reduce_ps(power, _MM_FROUND_TO_NEG_INF); }
inline Vector scaled(Vector x, Vector power) { return _mm512_scalef_ps(x, power); }

// Every second lane of two neighbours, from the first or the second on.
inline Vector evens(Vector a, Vector b) {
  const Words lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_ps(a, lanes, b);
}
inline Vector odds(Vector a, Vector b) {
  const Words lanes = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_ps(a, lanes, b);
}

// Within each four lanes: the lower or the upper two of both vectors in turn, one by one or as a pair.
inline Vector low_lanes(Vector a, Vector b) { return _mm512_unpacklo_ps(a, b); }
inline Vector high_lanes(Vector a, Vector b) { return _mm512_unpackhi_ps(a, b); }
inline Vector low_pairs(Vector a, Vector b) { return (Vector)_mm512_unpacklo_pd((__m512d)a, (__m512d)b); }
inline Vector high_pairs(Vector a, Vector b) { return (Vector)_mm512_unpackhi_pd((__m512d)a, (__m512d)b); }
template <int INDEX>
__m128 four_lanes(Vector x) { return _mm512_extractf32x4_ps(x, INDEX); }

#else

constexpr int LANES = 8, REGISTERS = 16;
using Vector = __m256;
using Words = __m256i;
struct Mask {
  int count;
};

inline Mask first_lanes(int count) { return {count}; }

inline Vector all(float x) { return _mm256_set1_ps(x); }
inline Words all(std::int32_t word) { return _mm256_set1_epi32(word); }
inline Vector load(const float* at) { return _mm256_loadu_ps(at); }
inline Vector load(const float* at, Mask lanes) {
  return _mm256_maskload_ps(at, _mm256_cmpgt_epi32(all(lanes.count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}
inline void store(float* at, Vector x) { _mm256_storeu_ps(at, x); }
// All lanes or the first four: maps are padded to 4 channels, and a masked store may take many cycles.
inline void store(float* at, Vector x, Mask lanes) {
  lanes.count < LANES ? _mm_storeu_ps(at, _mm256_castps256_ps128(x)) : store(at, x);
}

inline Vector floats(Words x) { return _mm256_castsi256_ps(x); }
inline Vector fmadd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
inline Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
inline Vector nearly_inverse(Vector x) { return _mm256_rcp_ps(x); }

inline Vector bounded(Vector power) { return max(all(-127.f), min(all(126.f), power)); }
inline Vector fraction(Vector power) { return power - _mm256_floor_ps(power); }
inline Vector scaled(Vector x, Vector power) {
  const Words exponent = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_floor_ps(power)), all(127));
  return x * floats(_mm256_slli_epi32(exponent, 23));
}

inline Vector evens(Vector a, Vector b) {
  return (Vector)_mm256_permute4x64_pd((__m256d)_mm256_shuffle_ps(a, b, 0x88), 0xd8);
}
inline Vector odds(Vector a, Vector b) {
  return (Vector)_mm256_permute4x64_pd((__m256d)_mm256_shuffle_ps(a, b, 0xdd), 0xd8);
}

inline Vector low_lanes(Vector a, Vector b) { return _mm256_unpacklo_ps(a, b); }
inline Vector high_lanes(Vector a, Vector b) { return _mm256_unpackhi_ps(a, b); }
inline Vector low_pairs(Vector a, Vector b) { return (Vector)_mm256_unpacklo_pd((__m256d)a, (__m256d)b); }
inline Vector high_pairs(Vector a, Vector b) { return (Vector)_mm256_unpackhi_pd((__m256d)a, (__m256d)b); }
template <int INDEX>
__m128 four_lanes(Vector x) { return _mm256_extractf128_ps(x, INDEX); }

#endif

inline void store(float* at, __m128 x) { _mm_storeu_ps(at, x); }

inline Vector relu(Vector x) { return max(Vector{}, x); }

}  // namespace vov3d
