// The stem and pointwise convolutions in bytes.
#pragma once
#include <cmath>

#include "int8_depthwise.h"
#include "step.h"

namespace vov3d {

enum class Values { BYTES, WORDS, FLOATS };  // unsigned and rectified, signed 16-bit, rectified

// What is added to a product: a map in units of its own, or nothing.
struct Beside {
  int map = -1;
  Values values = Values::BYTES;
  float scale = 0;
};

inline long pitch_of(int channels) { return rounded_up(channels, 4); }

constexpr long value_bytes(Values values) { return values == Values::BYTES ? 1 : values == Values::WORDS ? 2 : 4; }

// Writes sums as a map [pixel][channels].
template <Values TO>
struct ByteWriter {
  const float *scale, *bias;
  void* map;
  const void* shortcut;  // or null
  Values values;         // of the shortcut
  float shortcut_scale;
  long pitch;

  ByteWriter(const ByteMatrix& matrix, void* map_, const void* shortcut_, Beside beside)
      : scale(matrix.scale.data()), bias(matrix.bias.data()), map(map_), shortcut(shortcut_), values(beside.values),
        shortcut_scale(beside.scale), pitch(pitch_of(matrix.outputs)) {}

  auto operator()(int block) const {
    const Mask lanes = first_lanes(int(pitch) - block * LANES);
    return [lanes, affine = Affine(scale, bias, block), factor = _mm512_set1_ps(shortcut_scale), pitch = pitch,
            values = values, to = (char*)map + block * LANES * value_bytes(TO),
            beside = shortcut ? (const char*)shortcut + block * LANES * value_bytes(values) : nullptr](
               long pixel, __m512i sums) __attribute__((always_inline)) {
      Vector x = affine(sums);
      const long at = pixel * pitch;
      if (beside) {
        const __m512i added = values == Values::WORDS
                                  ? _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(lanes, (const short*)beside + at))
                                  : _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, (const Byte*)beside + at));
        x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(added), factor, x);
      }
      if constexpr (TO == Values::BYTES) _mm_mask_storeu_epi8((Byte*)to + at, lanes, rectified_bytes(x));
      if constexpr (TO == Values::WORDS)
        _mm256_mask_storeu_epi16((short*)to + at, lanes, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
      if constexpr (TO == Values::FLOATS) store((float*)to + at, relu(x), lanes);
    };
  }
};

struct BytePointwise : Step {
  ByteMatrix matrix;
  std::vector<Tensor> from;
  Tensor to;
  int stride;
  Beside beside;
  Values values;

  BytePointwise(ByteMatrix matrix_, std::vector<Tensor> from_, Tensor to_, int stride_, Beside beside_, Values values_)
      : matrix(std::move(matrix_)), from(std::move(from_)), to(to_), stride(stride_), beside(beside_),
        values(values_) {}

  void run(const Walk& walk) const override {
    if (values == Values::BYTES) write<Values::BYTES>(walk, walk.maps[output]);
    if (values == Values::WORDS) write<Values::WORDS>(walk, walk.maps[output]);
    if (values == Values::FLOATS) write<Values::FLOATS>(walk, (char*)walk.features);
  }

 private:
  static constexpr long TASK = 240;  // pixels, a multiple of what tiles have

  template <Values TO>
  void write(const Walk& walk, char* map) const {
    const Shape out = to.shape(walk.clip);
    const long pitch = pitch_of(matrix.outputs);
    const auto task = [&](long first, long pixels) {
      const char* shortcut =
          beside.map < 0 ? nullptr : walk.maps[beside.map] + first * pitch * value_bytes(beside.values);
      const ByteWriter<TO> writer{matrix, map + first * pitch * value_bytes(TO), shortcut, beside};
      multiply_bytes(matrix, sources(walk, out, first), pixels, writer);
    };
    stride == 1 ? share_evenly(walk, out.pixels(), TASK, task) : share_rows(walk, out, task);
  }

  std::vector<ByteSource> sources(const Walk& walk, Shape out, long first) const {
    std::vector<ByteSource> sources;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const Shape in = from[i].shape(walk.clip);
      const long row = first / out.columns, frame = row / out.rows;
      const long begin = stride == 1 ? first : (frame * in.rows + row % out.rows * stride) * in.columns;
      const long pitch = from[i].pitch();
      sources.push_back({(const Byte*)walk.maps[inputs[i]] + begin * pitch, stride * pitch, pitch});
    }
    return sources;
  }
};

// Dense 1x3x3 of stride 2 on three colours in bytes, depthwise 5x1x1, norm and ReLU in float32.
//
// The three bytes of a pixel and an empty one are one word. What the last five frames gave is kept in a ring.
struct ByteStem : Step {
  static constexpr int FRAMES = 5, ROWS = 4, MARGIN = 16;
  Buffer<Level> spatial;    // [block][9][16][4]
  Buffer<float> temporal;   // [block][5][16]
  Buffer<float> bias;
  Buffer<int> offset;       // what sums begin with
  Tensor to;
  int blocks;
  float steps, zero;  // from a value to its byte

  ByteStem(const Level* levels, const float* temporal_, const float* bias_, float step, float zero_, Tensor to_)
      : to(to_), blocks(int(rounded_up(to_.channels, LANES) / LANES)), steps(1 / step), zero(zero_) {
    spatial.resize(blocks * 9 * 64), temporal.resize(blocks * FRAMES * LANES);
    bias.resize(blocks * LANES), offset.resize(blocks * LANES);
    for (int c = 0; c < to.channels; ++c) {
      const int block = c / LANES, lane = c % LANES;
      int total = 0;
      for (int colour = 0; colour < 3; ++colour)
        for (int tap = 0; tap < 9; ++tap) {
          const Level level = levels[(c * 3 + colour) * 9 + tap];
          total += spatial[((block * 9 + tap) * LANES + lane) * 4 + colour] = level;
        }
      offset[c] = -int(std::lround(total * zero_));
      bias[c] = bias_[c];
      for (int tap = 0; tap < FRAMES; ++tap)
        temporal[(block * FRAMES + tap) * LANES + lane] = temporal_[c * FRAMES + tap];
    }
  }

  long scratch_bytes(Shape clip, int) const override {
    return (2 * ROWS + 1) * padded(clip) * 4 + FRAMES * plane(clip.strided(2)) * blocks * 4 + 1024;
  }

  void run(const Walk& walk) const override {
    const Shape out = walk.clip.strided(2);
    walk.share((out.rows + ROWS - 1) / ROWS, [&](int tile) {
      walk_tile(walk, out, tile * ROWS, std::min(out.rows, (tile + 1) * ROWS));
    });
  }

 private:
  static long padded(Shape clip) { return clip.columns + 2 + MARGIN; }
  static long plane(Shape out) { return long(ROWS) * out.columns * LANES; }

  void walk_tile(const Walk& walk, Shape out, int first, int last) const {
    Scratch scratch(walk.scratch);
    int* pixels = scratch.take<int>((2 * ROWS + 1) * padded(walk.clip));
    float* ring = scratch.take<float>(FRAMES * plane(out) * blocks);
    std::fill(pixels, pixels + (2 * ROWS + 1) * padded(walk.clip), int(std::lround(zero)) * 0x010101);
    for (int frame = 0; frame < out.frames + 2; ++frame) {
      if (frame < out.frames) {
        for (int y = std::max(2 * first - 1, 0); y < std::min(2 * last, walk.clip.rows); ++y)
          pack_row(walk, frame, y, pixels + (y - 2 * first + 1) * padded(walk.clip) + 1);
        convolve(walk, out, last - first, pixels, ring + frame % FRAMES * plane(out) * blocks);
      }
      if (frame >= 2) mix_frames(walk, out, frame - 2, first, last, ring);
    }
  }

  void pack_row(const Walk& walk, int frame, int y, int* words) const {
    const Vector factor = _mm512_set1_ps(steps), shift = _mm512_set1_ps(zero);
    const long colour = walk.clip.pixels();
    const float* from = walk.pixels + (long(frame) * walk.clip.rows + y) * walk.clip.columns;
    for (int x = 0; x < walk.clip.columns; x += LANES, from += LANES) {
      const Mask lanes = first_lanes(walk.clip.columns - x);
      const auto bytes = [&](const float* at) {
        const Vector value = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, at), factor, shift);
        const Vector bounded = _mm512_min_ps(_mm512_max_ps(value, _mm512_setzero_ps()), _mm512_set1_ps(255.f));
        return _mm512_cvtps_epi32(bounded);
      };
      const __m512i green = _mm512_slli_epi32(bytes(from + colour), 8);
      const __m512i blue = _mm512_slli_epi32(bytes(from + 2 * colour), 16);
      _mm512_mask_storeu_epi32(words + x, lanes, _mm512_or_si512(bytes(from), _mm512_or_si512(green, blue)));
    }
  }

  void convolve(const Walk& walk, Shape out, int rows, const int* pixels, float* map) const {
    for (int block = 0; block < blocks; ++block, map += plane(out)) {
      __m512i taps[9];
#pragma GCC unroll 9
      for (int i = 0; i < 9; ++i) taps[i] = _mm512_load_si512(spatial.data() + (block * 9 + i) * 64);
      const __m512i begin = _mm512_load_si512(offset.data() + block * LANES);
      float* to_pixel = map;
      for (int row = 0; row < rows; ++row)
        for (int column = 0; column < out.columns; ++column, to_pixel += LANES) {
          const int* at = pixels + 2 * row * padded(walk.clip) + 2 * column;
          __m512i sums = begin;
#pragma GCC unroll 3
          for (int y = 0; y < 3; ++y)
#pragma GCC unroll 3
            for (int x = 0; x < 3; ++x)
              sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(at[y * padded(walk.clip) + x]), taps[3 * y + x]);
          _mm512_store_ps(to_pixel, _mm512_cvtepi32_ps(sums));
        }
    }
  }

  void mix_frames(const Walk& walk, Shape out, int frame, int first, int last, const float* ring) const {
    Byte* map = (Byte*)walk.maps[output] + (frame * out.frame() + long(first) * out.columns) * to.pitch();
    for (int block = 0; block < blocks; ++block) {
      const Mask lanes = first_lanes(to.pitch() - block * LANES);
      const Vector shift = _mm512_load_ps(bias.data() + block * LANES);
      Vector taps[FRAMES];
      const float* seen[FRAMES];
      for (int tap = 0; tap < FRAMES; ++tap) {
        const int one = frame - 2 + tap;
        const bool there = one >= 0 && one < out.frames;
        taps[tap] = there ? _mm512_load_ps(temporal.data() + (block * FRAMES + tap) * LANES) : _mm512_setzero_ps();
        seen[tap] = ring + ((there ? one : frame) % FRAMES * blocks + block) * plane(out);
      }
      for (long i = 0; i < long(last - first) * out.columns; ++i) {
        Vector x = shift;
#pragma GCC unroll 5
        for (int tap = 0; tap < FRAMES; ++tap) x = _mm512_fmadd_ps(_mm512_load_ps(seen[tap] + i * LANES), taps[tap], x);
        _mm_mask_storeu_epi8(map + i * to.pitch() + block * LANES, lanes, rectified_bytes(x));
      }
    }
  }
};

}  // namespace vov3d
