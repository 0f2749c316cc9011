// A bottleneck in bytes: pointwise, ReLU, depthwise 3x3x3, gate, Swish, pointwise, residual sum, ReLU.
//
// Of the wide map only four frames exist at a time, in a ring that stays in the core's cache; two frames of the output
// are made of them. Without a gate they are activated and projected at once. Else they are kept as 16-bit values until
// their sums are known, and a second pass gates, activates and projects.
#pragma once
#include <climits>

#include "gate.h"
#include "int8_convolution.h"

namespace vov3d {

struct ByteGate : Gate {  // of the means of 16-bit values
  std::vector<float> scale;  // of a 16-bit value's gate: from (0, 1) to 2^-15 steps of the table
};

// Writes sums as bytes where each pixel has its place.
struct WideWriter {
  const float *scale, *bias;
  const long* places;
  Byte* map;

  auto operator()(int block) const {
    return [affine = Affine(scale, bias, block), places = places, to = map + block * LANES](
               long pixel, __m512i sums) __attribute__((always_inline)) {
      _mm_store_si128((__m128i*)(to + places[pixel]), rectified_bytes(affine(sums)));
    };
  }
};

struct ByteUnit : Step {
  static constexpr long CACHE_BYTES = 400 << 10;
  static constexpr int TASK = 64;  // pixels that are projected at once

  ByteMatrix expand, project;
  Buffer<Level> taps;
  Buffer<float> scale, bias;  // of the depthwise sums
  ByteGate gate;
  Byte table[256];  // from the signed byte of a step to the byte of its Swish
  int zero;         // the step of 0
  Tensor from, to;
  long channels;  // of the wide map, a multiple of 16
  int stride;
  Beside beside;

  ByteUnit(ByteMatrix expand_, ByteMatrix project_, Tensor from_, Tensor to_, int channels_, int stride_,
           Beside beside_, const Level* kernel, const float* scale_, const float* bias_, ByteGate gate_,
           const Byte* table_, int zero_)
      : expand(std::move(expand_)), project(std::move(project_)), gate(std::move(gate_)), zero(zero_), from(from_),
        to(to_), channels(rounded_up(channels_, LANES)), stride(stride_), beside(beside_) {
    taps.resize(channels / LANES * TAPS * 64), scale.resize(channels), bias.resize(channels);
    pack_taps(kernel, channels_, taps.data());
    std::copy(scale_, scale_ + channels_, scale.data()), std::copy(bias_, bias_ + channels_, bias.data());
    std::copy(table_, table_ + 256, table);
  }

  long own_bytes(Shape clip, int threads) const override {
    const Shape in = from.shape(clip), out = to.shape(clip);
    return gate.hidden ? totals_bytes(divide(in, out, threads)) + (out.pixels() + 1) * channels * 2 : 0;
  }

  long scratch_bytes(Shape clip, int threads) const override {
    const Shape in = from.shape(clip), out = to.shape(clip);
    const long rows = in_rows(int(parts_of(out.rows, divide(in, out, threads).strips)));
    const long first = (5 * rows + 3 * 4) * row_bytes(in) + 8 * rows * in.columns + 2 * group_bytes(out);
    return std::max(first, (TASK + 2) * channels + 8 * channels + 4 * gate.hidden) + 2048;
  }

  void run(const Walk& walk) const override {
    const Shape in = from.shape(walk.clip), out = to.shape(walk.clip);
    const Division parts = divide(in, out, walk.team.size());
    std::int64_t* totals = (std::int64_t*)walk.own[index];
    short* mixed = (short*)(walk.own[index] + totals_bytes(parts));
    walk.share(parts.count(), [&](int i) {
      const int strip = i % parts.strips, segment = i / parts.strips, pairs = (out.frames + 1) / 2;
      const Part part{out.rows * strip / parts.strips, out.rows * (strip + 1) / parts.strips,
                      pairs * segment / parts.segments * 2,
                      std::min(out.frames, pairs * (segment + 1) / parts.segments * 2)};
      walk_part(walk, in, out, part, mixed, totals + i * channels);
    });
    if (gate.hidden) second_pass(walk, out, mixed, totals, parts.count());
  }

 private:
  struct Part {  // of the output
    int first, last, first_frame, last_frame;
  };
  struct Division {
    int strips, segments;  // of rows, of frames

    int count() const { return strips * segments; }
  };

  long row_bytes(Shape in) const { return (in.columns + 2) * channels; }
  long in_rows(int rows) const { return long(rows - 1) * stride + 3; }
  long totals_bytes(Division parts) const { return parts.count() * channels * 8l; }
  int group_rows(Shape out) const { return std::max(1, TASK / out.columns); }
  long group_bytes(Shape out) const { return rounded_up(group_rows(out) * out.columns * channels, 64); }

  // Strips whose ring stays in the cache, and as many parts as let the last thread be done soonest. What each part costs
  // is its output and its wide map, which reaches one row or frame into its neighbours.
  Division divide(Shape in, Shape out, int threads) const {
    const int pairs = (out.frames + 1) / 2;
    const long ring = 4 * out.rows * stride * row_bytes(in);
    const int needed = int(std::clamp<long>((ring + CACHE_BYTES / 2) / CACHE_BYTES, 1, out.rows));
    Division best{needed, 1};
    long least = LONG_MAX;
    for (int strips = needed; strips < needed + threads && strips <= out.rows; ++strips)
      for (int segments = 1; segments <= threads && segments <= pairs; ++segments) {
        const long rows = parts_of(out.rows, strips) * stride, frames = parts_of(pairs, segments) * 2;
        const long wide = (rows + std::min(strips - 1, 2)) * (frames + std::min(segments - 1, 2));
        const long cost = parts_of(strips * segments, threads) * (rows * frames + wide);
        if (cost < least) least = cost, best = {strips, segments};
      }
    return best;
  }

  void walk_part(const Walk& walk, Shape in, Shape out, Part part, short* mixed, std::int64_t* totals) const {
    Scratch scratch(walk.scratch);
    const int rows = int(in_rows(part.last - part.first)), above = part.first * stride - 1;
    const long bytes = row_bytes(in), plane = rows * bytes;
    Byte* ring = scratch.take<Byte>(5 * plane);  // the fifth frame is that before the first and that after the last
    Byte* quads = scratch.take<Byte>(3 * 4 * bytes);
    Byte* active = scratch.take<Byte>(2 * group_bytes(out));
    const int begin = std::max(above, 0), end = std::min(above + rows, in.rows);
    long* places = scratch.take<long>(long(end - begin) * in.columns);
    for (int y = begin, i = 0; y < end; ++y)
      for (int x = 0; x < in.columns; ++x) places[i++] = (y - above) * bytes + (x + 1) * channels;
    std::memset(ring, 0, 5 * plane);
    if (gate.hidden) std::fill(totals, totals + channels, 0);
    int ready = std::max(part.first_frame - 1, 0);
    for (int frame = part.first_frame; frame < part.last_frame; frame += 2) {
      for (; ready < std::min(frame + 3, in.frames); ++ready)
        expand_rows(walk, (long(ready) * in.rows + begin) * in.columns, long(end - begin) * in.columns, places,
                    ring + ready % 4 * plane);
      const Byte* seen[4];
      for (int i = 0; i < 4; ++i) {
        const int one = frame - 1 + i;
        seen[i] = ring + (one < 0 || one >= in.frames ? 4 : one % 4) * plane;
      }
      two_frames(walk, out, part, frame, seen, bytes, quads, active, mixed, totals);
    }
  }

  void expand_rows(const Walk& walk, long first, long pixels, const long* places, Byte* wide) const {
    const std::vector<ByteSource> source{
        {(const Byte*)walk.maps[inputs[0]] + first * from.pitch(), from.pitch(), from.pitch()}};
    multiply_bytes(expand, source, pixels, WideWriter{expand.scale.data(), expand.bias.data(), places, wide});
  }

  void two_frames(const Walk& walk, Shape out, Part part, int frame, const Byte* const* seen, long bytes, Byte* quads,
                  Byte* active, short* mixed, std::int64_t* totals) const {
    long made = 0;
    for (int y = part.first, first = y; y < part.last; ++y) {
      const long above = long(y - part.first) * stride;
      const Byte* rows[4];
      for (; made < above + 3; ++made) {
        for (int i = 0; i < 4; ++i) rows[i] = seen[i] + made * bytes;
        interleave(rows, bytes, quads + made % 3 * 4 * bytes);
      }
      for (int i = 0; i < 3; ++i) rows[i] = quads + (above + i) % 3 * 4 * bytes;
      if (gate.hidden) {
        gated_row(rows, out, frame, y, mixed, totals);
        continue;
      }
      active_row(rows, out, active + (y - first) * out.columns * channels);
      if (y + 1 - first < group_rows(out) && y + 1 < part.last) continue;
      const long pixels = long(y + 1 - first) * out.columns;
      for (int next = 0; next < 2 && frame + next < out.frames; ++next) {
        look_up(active + next * group_bytes(out), pixels * channels, table);
        project_pixels(walk, (frame + next) * out.frame() + long(first) * out.columns, pixels,
                       active + next * group_bytes(out));
      }
      first = y + 1;
    }
  }

  void active_row(const Byte* const* rows, Shape out, Byte* row) const {
    const long second = group_bytes(out), pitch = channels;
    const auto write = [scale = scale.data(), bias = bias.data(), row, second, pitch](int block) {
      return [affine = Affine(scale, bias, block), to = row + block * LANES, second, pitch](
                 int x, __m512i now, __m512i next) __attribute__((always_inline)) {
        Byte* at = to + x * pitch;
        _mm_store_si128((__m128i*)at, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(affine(now))));
        _mm_store_si128((__m128i*)(at + second), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(affine(next))));
      };
    };
    depthwise_row(rows, out.columns, stride, channels, taps.data(), write);
  }

  void gated_row(const Byte* const* rows, Shape out, int frame, int y, short* mixed, std::int64_t* totals) const {
    short* row = mixed + (frame * out.frame() + long(y) * out.columns) * channels;
    const bool both = frame + 1 < out.frames;
    const long second = both ? out.frame() * channels : 0, pitch = channels;
    const int last = out.columns - 1;
    const __m512i counted = _mm512_set1_epi32(both ? -1 : 0);
    const auto write = [=, scale = scale.data(), bias = bias.data()](int block) {
      return [=, affine = Affine(scale, bias, block), to = row + block * LANES, total = _mm512_setzero_si512()](
                 int x, __m512i now, __m512i next) mutable __attribute__((always_inline)) {
        const __m512i first = _mm512_cvtps_epi32(affine(now));
        const __m512i other = _mm512_cvtps_epi32(affine(next));
        short* at = to + x * pitch;
        _mm256_storeu_si256((__m256i*)(at + second), _mm512_cvtsepi32_epi16(other));  // nothing, if there is no second
        _mm256_storeu_si256((__m256i*)at, _mm512_cvtsepi32_epi16(first));
        total = _mm512_add_epi32(_mm512_add_epi32(total, first), _mm512_and_si512(other, counted));
        if (x == last) add_totals(total, totals + block * LANES);
      };
    };
    depthwise_row(rows, out.columns, stride, channels, taps.data(), write);
  }

  static void add_totals(__m512i total, std::int64_t* to) {
    for (int half = 0; half < 2; ++half, to += 8) {
      const __m256i part = half ? _mm512_extracti64x4_epi64(total, 1) : _mm512_castsi512_si256(total);
      _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to), _mm512_cvtepi32_epi64(part)));
    }
  }

  void project_pixels(const Walk& walk, long first, long pixels, const Byte* active) const {
    const long at = first * to.pitch();
    const char* shortcut = beside.map < 0 ? nullptr : walk.maps[beside.map] + at * value_bytes(beside.values);
    const ByteWriter<Values::BYTES> writer{project, walk.maps[output] + at, shortcut, beside};
    multiply_bytes(project, {{active, channels, 4 * project.words}}, pixels, writer);
  }

  void second_pass(const Walk& walk, Shape out, const short* mixed, const std::int64_t* totals, int count) const {
    Scratch scratch(walk.scratch);
    short* gates = scratch.take<short>(2 * channels);  // twice, for pairs of pixels are a multiple of 32 channels
    compute_gates(totals, count, out.pixels(), scratch.take<float>(channels), scratch.take<float>(gate.hidden), gates);
    Byte* active = scratch.take<Byte>((TASK + 2) * channels);
    const __m512i shift = _mm512_set1_epi16(short(zero));
    share_evenly(walk, out.pixels(), TASK, [&](long first, long pixels) {
      for (long i = 0; i < pixels * channels; i += 2 * channels)
        for (long c = 0; c < 2 * channels; c += 32) {
          const __m512i values = _mm512_loadu_si512(mixed + first * channels + i + c);
          const __m512i steps = _mm512_adds_epi16(_mm512_mulhrs_epi16(values, _mm512_loadu_si512(gates + c)), shift);
          _mm256_storeu_si256((__m256i*)(active + i + c), _mm512_cvtsepi16_epi8(steps));
        }
      look_up(active, pixels * channels, table);
      project_pixels(walk, first, pixels, active);
    });
  }

  void compute_gates(const std::int64_t* totals, int count, long pixels, float* factors, float* between,
                     short* gates) const {
    const int known = int(gate.scale.size());
    for (int c = 0; c < known; ++c) {
      std::int64_t total = 0;
      for (int part = 0; part < count; ++part) total += totals[part * channels + c];
      factors[c] = float(double(total) / double(pixels));
    }
    gate.apply(factors, between);
    for (int c = 0; c < channels; ++c) {
      const float factor = c < known ? gate.scale[c] * factors[c] : 0.f;
      gates[c] = gates[c + channels] = short(std::lround(std::min(factor, 32767.f)));
    }
  }
};

}  // namespace vov3d
