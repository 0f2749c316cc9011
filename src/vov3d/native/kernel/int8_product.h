// Products of bytes: unsigned activations, signed weights, 32-bit sums of four products each.
#pragma once
#include <vector>

#include "memory.h"
#include "precision.h"

namespace vov3d {

using Byte = std::uint8_t;
using Level = std::int8_t;  // of a weight

constexpr int WIDEST = 6;  // blocks of 16 outputs that one tile makes

// Pixels that one tile makes: as many as leave registers for the weights.
constexpr int tile_rows(int blocks) {
  constexpr int ROWS[] = {0, 16, 12, 8, 6, 5, 4};
  return ROWS[blocks];
}

// One after another, the inputs of a product: bytes of neighbouring channels, a multiple of four.
struct ByteSource {
  const Byte* begin;
  long pitch;  // from one pixel to the next
  long bytes;
};

// What turns the sums of 16 channels into values.
struct Affine {
  Vector scale, bias;

  Affine(const float* scale_, const float* bias_, int block)
      : scale(_mm512_load_ps(scale_ + block * LANES)), bias(_mm512_load_ps(bias_ + block * LANES)) {}

  Vector operator()(__m512i sums) const { return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, bias); }
};

// A matrix of levels [outputs][inputs] as tiles read it, and what turns its sums into outputs.
struct ByteMatrix {
  Buffer<Level> levels;  // [tile][word][block of the tile][16][4]
  Buffer<float> scale, bias;
  int outputs, blocks;
  long words = 0;

  ByteMatrix(const Level* matrix, const float* scale_, const float* bias_, int outputs_, const std::vector<int>& inputs)
      : outputs(outputs_), blocks(int(rounded_up(outputs_, LANES) / LANES)) {
    std::vector<int> column;  // of each byte that is read, -1 where there is padding
    for (int count : inputs) {
      const int before = inputs_before(column);
      for (int i = 0; i < rounded_up(count, 4); ++i) column.push_back(i < count ? before + i : -1);
    }
    const int width = inputs_before(column);
    words = long(column.size()) / 4;
    levels.resize(blocks * words * 64);
    Level* at = levels.data();
    for (int tile = 0, block = 0; tile < tiles(); block += tile_blocks(tile++, block))
      for (long word = 0; word < words; ++word)
        for (int row = block * LANES; row < (block + tile_blocks(tile, block)) * LANES; ++row)
          for (int i = 0; i < 4; ++i, ++at)
            if (row < outputs && column[4 * word + i] >= 0) *at = matrix[row * width + column[4 * word + i]];
    scale.resize(blocks * LANES), bias.resize(blocks * LANES);
    std::copy(scale_, scale_ + outputs, scale.data()), std::copy(bias_, bias_ + outputs, bias.data());
  }

  int tiles() const { return (blocks + WIDEST - 1) / WIDEST; }
  int tile_blocks(int tile, int first) const { return (blocks - first + tiles() - tile - 1) / (tiles() - tile); }

  Affine affine(int block) const { return Affine(scale.data(), bias.data(), block); }

 private:
  static int inputs_before(const std::vector<int>& column) {
    int count = 0;
    for (int one : column) count += one >= 0;
    return count;
  }
};

inline __m128i rectified_bytes(Vector x) {
  return _mm512_cvtusepi32_epi8(_mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_setzero_si512()));
}

template <int BLOCKS, int ROWS, class Write>
inline void byte_tile(const std::vector<ByteSource>& sources, long pixel, const Level* levels, int first, Write write) {
  __m512i sums[ROWS][BLOCKS];
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 6
    for (int block = 0; block < BLOCKS; ++block) sums[row][block] = _mm512_setzero_si512();
  for (const ByteSource& source : sources) {
    const long pitch = source.pitch;
    const Byte* at = source.begin + pixel * pitch;
    for (const Byte* end = at + source.bytes; at < end; at += 4, levels += 64 * BLOCKS) {
      __m512i columns[BLOCKS];
#pragma GCC unroll 6
      for (int block = 0; block < BLOCKS; ++block) columns[block] = _mm512_load_si512(levels + 64 * block);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        int word;
        std::memcpy(&word, at + row * pitch, 4);
        const __m512i four = _mm512_set1_epi32(word);
#pragma GCC unroll 6
        for (int block = 0; block < BLOCKS; ++block)
          sums[row][block] = _mm512_dpbusd_epi32(sums[row][block], four, columns[block]);
      }
    }
  }
#pragma GCC unroll 6
  for (int block = 0; block < BLOCKS; ++block) {
    const auto write_pixel = write(first + block);
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; ++row) write_pixel(pixel + row, sums[row][block]);
  }
}

// The last tile overlaps the one before it; fewer pixels than a tile has are made one by one.
template <int BLOCKS, class Write>
void byte_tiles(const std::vector<ByteSource>& sources, long pixels, const Level* levels, int first, Write write) {
  constexpr int ROWS = tile_rows(BLOCKS);
  if (pixels < ROWS)
    for (long pixel = 0; pixel < pixels; ++pixel) byte_tile<BLOCKS, 1>(sources, pixel, levels, first, write);
  else
    for (long pixel = 0; pixel < pixels; pixel += ROWS)
      byte_tile<BLOCKS, ROWS>(sources, std::min(pixel, pixels - ROWS), levels, first, write);
}

// Calls write(block of 16 outputs)(pixel, sums); for some pixels twice. What it returns holds copies of all that it
// needs: bytes that are stored may be part of anything, so that a reference would be followed again for each of them.
template <class Write>
void multiply_bytes(const ByteMatrix& matrix, const std::vector<ByteSource>& sources, long pixels, Write write) {
  const Level* levels = matrix.levels.data();
  for (int tile = 0, first = 0; tile < matrix.tiles(); ++tile) {
    const int blocks = matrix.tile_blocks(tile, first);
    switch (blocks) {
      case 1: byte_tiles<1>(sources, pixels, levels, first, write); break;
      case 2: byte_tiles<2>(sources, pixels, levels, first, write); break;
      case 3: byte_tiles<3>(sources, pixels, levels, first, write); break;
      case 4: byte_tiles<4>(sources, pixels, levels, first, write); break;
      case 5: byte_tiles<5>(sources, pixels, levels, first, write); break;
      default: byte_tiles<6>(sources, pixels, levels, first, write);
    }
    first += blocks;
    levels += 64 * matrix.words * blocks;
  }
}

}  // namespace vov3d
