// The stem: dense 1x3x3 of stride 2 on three colours, depthwise 5x1x1, norm, ReLU; in float32 whatever the precision.
//
// It has few channels and long rows, so that here, and only here, a vector holds neighbouring columns of one channel. A
// row of the input is parted into its even and its odd columns; what the last five frames gave is kept in a ring of
// maps [channel][row][column].
#pragma once
#include "step.h"

namespace vov3d {

template <class P>
struct Stem {
  using Element = typename P::Element;
  static constexpr int COLOURS = 3, SIDE = 3, TAPS = COLOURS * SIDE * SIDE, FRAMES = 5, ROWS = 4, QUAD = 4;
  Buffer<float> spatial, temporal, bias;  // [channel][27], [channel][5], [channel]
  Tensor to;

  Stem(const float* spatial_, const float* temporal_, const float* bias_, Tensor to_) : to(to_) {
    spatial.resize(to.pitch() * TAPS), std::copy_n(spatial_, to.channels * TAPS, spatial.data());
    temporal.resize(to.pitch() * FRAMES), std::copy_n(temporal_, to.channels * FRAMES, temporal.data());
    bias.resize(to.pitch()), std::copy_n(bias_, to.channels, bias.data());
  }

  long scratch_bytes(Shape clip) const {
    return 4 * (Parted(clip).size() + (FRAMES + 1) * map_size(clip.strided(2))) + 1024;
  }

  // Rows `first` to `last` of all frames, into the strip.
  void walk_rows(const Walk& walk, int first, int last, const Strip& strip, const Scratch& scratch) const {
    for (int row = first; row < last; row += ROWS) walk_tile(walk, row, std::min(last, row + ROWS), strip, scratch);
  }

 private:
  // Rows of one frame of the input [colour][row][even, odd][column]; a zero stands before the odd columns.
  struct Parted {
    long half, row, colour;
    float* data = nullptr;

    explicit Parted(Shape clip)
        : half(width(clip.strided(2)) + LANES), row(2 * half), colour((2 * ROWS + 1) * row) {}
    long size() const { return COLOURS * colour; }
  };

  static long width(Shape out) { return rounded_up(out.columns, LANES); }
  static long plane(Shape out) { return ROWS * width(out); }
  long map_size(Shape out) const { return to.pitch() * plane(out); }

  void walk_tile(const Walk& walk, int first, int last, const Strip& strip, Scratch scratch) const {
    const Shape out = walk.clip.strided(2);
    Parted parted(walk.clip);
    parted.data = scratch.take<float>(parted.size());
    std::memset(parted.data, 0, parted.size() * 4);
    float* ring[FRAMES + 1];
    for (float*& map : ring) map = scratch.take<float>(map_size(out));
    float* nothing = ring[FRAMES];
    std::memset(nothing, 0, map_size(out) * 4);
    for (int frame = 0; frame < out.frames + 2; ++frame) {
      if (frame < out.frames) {
        part_columns(walk, frame, first, last, parted);
        convolve_frame(walk, frame, first, last, parted, ring[frame % FRAMES]);
      }
      if (frame < 2) continue;
      const float* around[FRAMES];
      for (int tap = 0; tap < FRAMES; ++tap) {
        const int seen = frame - 4 + tap;
        around[tap] = seen < 0 || seen >= out.frames ? nothing : ring[seen % FRAMES];
      }
      mix_frames(out, frame - 2, first, last, around, strip);
    }
  }

  static void part_columns(const Walk& walk, int frame, int first, int last, const Parted& parted) {
    const Shape& in = walk.clip;
    const int begin = std::max(2 * first - 1, 0), end = std::min(2 * last, in.rows);
    for (int colour = 0; colour < COLOURS; ++colour) {
      const float* map = walk.pixels + (long(colour) * in.frames + frame) * in.frame();
      float* even = parted.data + colour * parted.colour;
      for (int y = 2 * first - 1; y < 2 * last; ++y, even += parted.row)
        if (y < begin || y >= end)
          std::memset(even, 0, parted.row * 4);
        else
          part_row(map + long(y) * in.columns, in.columns, even, even + parted.half + 1);
    }
  }

  static void part_row(const float* row, int columns, float* even, float* odd) {
    for (int left = columns; left > 0; left -= 2 * LANES, row += 2 * LANES, even += LANES, odd += LANES) {
      const Vector first = load(row, first_lanes(left));
      const Vector second = load(row + LANES, first_lanes(std::max(left - LANES, 0)));
      store(even, evens(first, second));
      store(odd, odds(first, second));
    }
  }

  // What the next frame is made of comes meanwhile.
  void convolve_frame(const Walk& walk, int frame, int first, int last, const Parted& parted, float* map) const {
    const Shape &in = walk.clip, out = in.strided(2);
    for (int row = first; row < last; ++row)
      for (int column = 0; column < out.columns; column += LANES) {
        for (int colour = 0; colour < COLOURS; ++colour)
          for (int y = 2 * row; y < 2 * row + 2; ++y) {
            const long next = (long(colour) * in.frames + frame + 1) * in.rows + y;
            fetch(walk.pixels + next * in.columns + 2 * column, 2 * LANES * 4);
          }
        const float* from = parted.data + 2 * (row - first) * parted.row + column;
        float* at = map + (row - first) * width(out) + column;
        for (int channel = 0, left; (left = to.pitch() - channel) > 0;)
          channel += left >= 3 * QUAD   ? convolve<3 * QUAD>(channel, from, parted, at, plane(out))
                     : left == 2 * QUAD ? convolve<2 * QUAD>(channel, from, parted, at, plane(out))
                                        : convolve<QUAD>(channel, from, parted, at, plane(out));
      }
  }

  // So many channels from `channel` on, for a vector of columns; returns how many.
  template <int CHANNELS>
  int convolve(int channel, const float* from, const Parted& parted, float* to_map, long to_plane) const {
    const float* weights = spatial.data() + channel * TAPS;
    Vector sums[CHANNELS];
    for (Vector& sum : sums) sum = Vector{};
    for (int colour = 0; colour < COLOURS; ++colour)
      for (int y = 0; y < SIDE; ++y, weights += SIDE) {
        const float *even = from + colour * parted.colour + y * parted.row, *odd = even + parted.half;
        const Vector columns[SIDE]{load(odd), load(even), load(odd + 1)};
#pragma GCC unroll 3
        for (int x = 0; x < SIDE; ++x)
#pragma GCC unroll 32
          for (int c = 0; c < CHANNELS; ++c)
            sums[c] = fmadd(columns[x], all(weights[c * TAPS + x]), sums[c]);
      }
#pragma GCC unroll 32
    for (int c = 0; c < CHANNELS; ++c) store(to_map + (channel + c) * to_plane, sums[c]);
    return CHANNELS;
  }

  void mix_frames(Shape out, int frame, int first, int last, const float* const* around, const Strip& strip) const {
    const long pitch = to.pitch(), between = plane(out);
    for (int row = first; row < last; ++row)
      for (int column = 0; column < out.columns; column += LANES) {
        Element* map = reinterpret_cast<Element*>(strip.data) + (strip.pixel(frame, row, out.columns) + column) * pitch;
        const long at = (row - first) * width(out) + column;
        for (int channel = 0; channel < pitch; channel += QUAD) {
          Vector quad[QUAD];
#pragma GCC unroll 4
          for (int c = 0; c < QUAD; ++c) quad[c] = mix(channel + c, around, (channel + c) * between + at);
          write(quad, map + channel, pitch, std::min(LANES, out.columns - column));
        }
      }
  }

  Vector mix(int channel, const float* const* around, long at) const {
    Vector x = all(bias[channel]);
#pragma GCC unroll 5
    for (int tap = 0; tap < FRAMES; ++tap)
      x = fmadd(load(around[tap] + at), all(temporal[channel * FRAMES + tap]), x);
    return relu(x);
  }

  // Four channels of neighbouring pixels, turned so that each pixel's lie together.
  static void write(const Vector (&quad)[QUAD], Element* map, long pitch, int pixels) {
    const Vector low = low_lanes(quad[0], quad[1]), high = high_lanes(quad[0], quad[1]);
    const Vector low2 = low_lanes(quad[2], quad[3]), high2 = high_lanes(quad[2], quad[3]);
    const Vector turned[QUAD]{low_pairs(low, low2), high_pairs(low, low2), low_pairs(high, high2),
                              high_pairs(high, high2)};
    write_pixels<0>(turned, map, pitch, pixels);
  }

  // Pixel 4 i + j is the i-th four lanes of the j-th vector.
  template <int PIXEL>
  static void write_pixels(const Vector (&turned)[QUAD], Element* map, long pitch, int pixels) {
    if constexpr (PIXEL < LANES) {
      if (PIXEL == pixels) return;
      store(map, four_lanes<PIXEL / QUAD>(turned[PIXEL % QUAD]));
      write_pixels<PIXEL + 1>(turned, map + pitch, pitch, pixels);
    }
  }
};

}  // namespace vov3d
