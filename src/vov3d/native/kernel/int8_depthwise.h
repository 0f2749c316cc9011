// Depthwise 3x3x3 on bytes, two output frames at a time, and Swish by table.
//
// Bytes of the same channel and pixel in four neighbouring frames lie side by side. One instruction multiplies them by
// the taps (a, b, c, 0) and adds up, which is the sum in time around the second frame; (0, a, b, c) is that around the
// third.
#pragma once
#include "int8_product.h"

namespace vov3d {

constexpr int TAPS = 18;  // of two frames, nine each

// Four rows of bytes, a multiple of 16 -> one row of their quadruples.
inline void interleave(const Byte* const rows[4], long count, Byte* out) {
  alignas(64) static constexpr Byte ORDER[64] = {
      0, 16, 32, 48, 1, 17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21, 37, 53, 6,  22, 38, 54,
      7, 23, 39, 55, 8, 24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58, 11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61,
      14, 30, 46, 62, 15, 31, 47, 63};
  const __m512i order = _mm512_load_si512(ORDER);
  for (long i = 0; i < count; i += LANES) {
    const auto load = [&](int k) { return _mm_loadu_si128((const __m128i*)(rows[k] + i)); };
    __m512i four = _mm512_castsi128_si512(load(0));
    four = _mm512_mask_broadcast_i32x4(four, 0x00f0, load(1));
    four = _mm512_mask_broadcast_i32x4(four, 0x0f00, load(2));
    four = _mm512_mask_broadcast_i32x4(four, 0xf000, load(3));
    _mm512_store_si512(out + 4 * i, _mm512_permutexvar_epi8(order, four));
  }
}

// Levels [channels][3 frames][9] -> [block][18][16][4].
inline void pack_taps(const Level* kernel, int channels, Level* taps) {
  for (int c = 0; c < channels; ++c)
    for (int frame = 0; frame < 3; ++frame)
      for (int i = 0; i < 9; ++i) {
        Level* at = taps + ((c / LANES * TAPS + i) * LANES + c % LANES) * 4 + frame;
        at[0] = at[9 * LANES * 4 + 1] = kernel[(c * 3 + frame) * 9 + i];
      }
}

// One row of two frames: write(block of 16 channels)(column, sums of the first frame, sums of the second).
template <class Write>
inline void depthwise_row(const Byte* const rows[3], int columns, int stride, long channels, const Level* kernel,
                          Write write) {
  for (int block = 0; block < channels / LANES; ++block, kernel += TAPS * 64) {
    __m512i taps[TAPS];
#pragma GCC unroll 18
    for (int i = 0; i < TAPS; ++i) taps[i] = _mm512_load_si512(kernel + 64 * i);
    auto write_pixel = write(block);
    for (int column = 0; column < columns; ++column) {
      const long at = 4 * (column * stride * channels + LANES * block);
      __m512i now = _mm512_setzero_si512(), next = now;
#pragma GCC unroll 3
      for (int y = 0; y < 3; ++y)
#pragma GCC unroll 3
        for (int x = 0; x < 3; ++x) {
          const __m512i seen = _mm512_load_si512(rows[y] + at + 4 * x * channels);
          now = _mm512_dpbusd_epi32(now, seen, taps[3 * y + x]);
          next = _mm512_dpbusd_epi32(next, seen, taps[9 + 3 * y + x]);
        }
      write_pixel(column, now, next);
    }
  }
}

// Bytes -> table[byte], in place; in steps of 64.
inline void look_up(Byte* bytes, long count, const Byte* table) {
  __m512i part[4];
  for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(table + 64 * i);
  for (long i = 0; i < count; i += 64) {
    const __m512i index = _mm512_load_si512(bytes + i);
    const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
    const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
    _mm512_store_si512(bytes + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
}

}  // namespace vov3d
