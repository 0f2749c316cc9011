// A pointwise convolution of one or more maps, with the sum of a block around it; and the stem.
#pragma once
#include "step.h"

namespace vov3d {

// Writes sums as a map [pixel][channels]: shortcut, ReLU.
template <class P, class Element>
struct MapWriter {
  Element* map;
  const typename P::Element* shortcut;  // or null
  int pitch;
  bool rectified;

  void operator()(long pixel, int panel, typename P::Sum sum) const {
    const Mask lanes = first_lanes(pitch - panel * LANES);
    Vector x = sum;
    const long at = pixel * pitch + panel * LANES;
    if (shortcut) x = _mm512_add_ps(x, P::load(shortcut + at, lanes));
    if (rectified) x = relu(x);
    if constexpr (std::is_same_v<Element, float>)
      Float32::store(map + at, x, lanes);
    else
      P::store(map + at, x, lanes);
  }
};

template <class P>
struct Pointwise : Step {
  using Element = typename P::Element;
  Panels<P> panels;
  std::vector<Tensor> from;
  Tensor to;
  int stride, shortcut;
  bool rectified, last;

  Pointwise(Panels<P> panels_, std::vector<Tensor> from_, Tensor to_, int stride_, int shortcut_, bool rectified_,
            bool last_)
      : panels(std::move(panels_)), from(std::move(from_)), to(to_), stride(stride_), shortcut(shortcut_),
        rectified(rectified_), last(last_) {}

  void run(const Walk& walk) const override {
    if (last)
      write(walk, walk.features);
    else
      write(walk, reinterpret_cast<Element*>(walk.maps[output]));
  }

 private:
  template <class Out>
  void write(const Walk& walk, Out* map) const {
    const Shape out = to.shape(walk.clip);
    const long step = stride == 1 ? CHUNK : out.columns, count = (out.pixels() + step - 1) / step;
    walk.team.share(int(count), [&](int task) {
      const long first = task * step, pixels = std::min(step, out.pixels() - first);
      const MapWriter<P, Out> writer{map + first * to.pitch(), beside(walk, first), to.pitch(), rectified};
      multiply<P>(panels, sources(walk, first), pixels, 0, panels.count, writer);
    });
  }

  const Element* beside(const Walk& walk, long first) const {
    return shortcut < 0 ? nullptr : reinterpret_cast<Element*>(walk.maps[shortcut]) + first * to.pitch();
  }

  std::vector<Source> sources(const Walk& walk, long first) const {
    std::vector<Source> sources;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const Shape in = from[i].shape(walk.clip), out = in.strided(stride);
      const long row = first / out.columns, frame = row / out.rows;
      const long begin = stride == 1 ? first : (frame * in.rows + row % out.rows * stride) * in.columns;
      const long pitch = from[i].pitch() * long(sizeof(Element));
      sources.push_back({walk.maps[inputs[i]] + begin * pitch, stride * pitch,
                         int(rounded_up(from[i].channels, P::PER_WORD) / P::PER_WORD)});
    }
    return sources;
  }
};

// Dense 1x3x3 of stride 2 on three colours, depthwise 5x1x1, norm, ReLU; in float32 whatever the precision.
//
// A row of the input is read as nine sources (colour and row of the kernel) of three words; neighbouring outputs begin
// two floats apart. What the last five frames gave is kept in a ring.
template <class P>
struct Stem : Step {
  using Element = typename P::Element;
  static constexpr int FRAMES = 5, ROWS = 4;
  Panels<Float32> spatial;
  Buffer<float> temporal, bias;  // [panel][5][16], [panel][16]
  Tensor to;

  Stem(Panels<Float32> spatial_, const float* temporal_, const float* bias_, Tensor to_)
      : spatial(std::move(spatial_)), to(to_) {
    temporal.resize(spatial.count * FRAMES * LANES);
    bias.resize(spatial.count * LANES);
    std::copy_n(bias_, to.channels, bias.data());
    for (int channel = 0; channel < to.channels; ++channel)
      for (int tap = 0; tap < FRAMES; ++tap)
        temporal[(channel / LANES * FRAMES + tap) * LANES + channel % LANES] = temporal_[channel * FRAMES + tap];
  }

  long scratch_bytes(Shape clip) const override {
    const Shape out = clip.strided(2);
    return 4 * (padded_plane(clip) * 3 + (FRAMES + 1) * map_size(out)) + 1024;
  }

  void run(const Walk& walk) const override {
    const Shape out = walk.clip.strided(2);
    const int tiles = (out.rows + ROWS - 1) / ROWS;
    walk.team.share(tiles, [&](int tile) { walk_tile(walk, out, tile * ROWS, std::min(out.rows, (tile + 1) * ROWS)); });
  }

 private:
  static long padded_plane(Shape clip) { return long(2 * ROWS + 1) * (clip.columns + 3); }
  long map_size(Shape out) const { return long(spatial.count) * ROWS * out.columns * LANES; }

  void walk_tile(const Walk& walk, Shape out, int first, int last) const {
    Scratch scratch(walk.scratch);
    float* padded = scratch.take<float>(padded_plane(walk.clip) * 3);
    float* ring[FRAMES + 1];
    for (float*& map : ring) map = scratch.take<float>(map_size(out));
    float* nothing = ring[FRAMES];
    std::memset(nothing, 0, map_size(out) * 4);
    std::memset(padded, 0, padded_plane(walk.clip) * 3 * 4);
    for (int frame = 0; frame < out.frames + 2; ++frame) {
      if (frame < out.frames) {
        copy_padded(walk, frame, first, last, padded);
        convolve_frame(walk, out, last - first, padded, ring[frame % FRAMES]);
      }
      if (frame < 2) continue;
      const float* around[FRAMES];
      for (int tap = 0; tap < FRAMES; ++tap) {
        const int seen = frame - 4 + tap;
        around[tap] = seen < 0 || seen >= out.frames ? nothing : ring[seen % FRAMES];
      }
      mix_frames(walk, out, frame - 2, first, last, around);
    }
  }

  void copy_padded(const Walk& walk, int frame, int first, int last, float* padded) const {
    const Shape& in = walk.clip;
    for (int colour = 0; colour < 3; ++colour)
      for (int y = 2 * first - 1; y <= 2 * last - 1; ++y)
        if (y >= 0 && y < in.rows)
          std::memcpy(padded + colour * padded_plane(in) + long(y - 2 * first + 1) * (in.columns + 3) + 1,
                      walk.pixels + ((long(colour) * in.frames + frame) * in.rows + y) * in.columns, in.columns * 4l);
        else
          std::memset(padded + colour * padded_plane(in) + long(y - 2 * first + 1) * (in.columns + 3), 0,
                      (in.columns + 3) * 4l);
  }

  void convolve_frame(const Walk& walk, Shape out, int rows, const float* padded, float* map) const {
    std::vector<DenseSource<8>> sources(9);
    const long plane = map_size(out) / spatial.count;
    for (int row = 0; row < rows; ++row) {
      for (int i = 0; i < 9; ++i) {
        const float* begin = padded + i / 3 * padded_plane(walk.clip) + (2 * row + i % 3) * (walk.clip.columns + 3l);
        sources[i] = {reinterpret_cast<const char*>(begin), 3};
      }
      multiply<Float32>(spatial, sources, out.columns, 0, spatial.count, [&](long pixel, int panel, Vector sum) {
        _mm512_store_ps(map + panel * plane + (long(row) * out.columns + pixel) * LANES, sum);
      });
    }
  }

  void mix_frames(const Walk& walk, Shape out, int frame, int first, int last, const float* const* around) const {
    const long plane = map_size(out) / spatial.count, pixels = long(last - first) * out.columns;
    Element* map = reinterpret_cast<Element*>(walk.maps[output]) + (frame * out.frame() + first * out.columns) * to.pitch();
    for (int panel = 0; panel < spatial.count; ++panel) {
      const Vector shift = _mm512_load_ps(bias.data() + panel * LANES);
      const Mask lanes = first_lanes(to.pitch() - panel * LANES);
      for (long pixel = 0; pixel < pixels; ++pixel) {
        Vector x = shift;
        for (int tap = 0; tap < FRAMES; ++tap)
          x = _mm512_fmadd_ps(_mm512_load_ps(around[tap] + panel * plane + pixel * LANES),
                              _mm512_load_ps(temporal.data() + (panel * FRAMES + tap) * LANES), x);
        P::store(map + pixel * to.pitch() + panel * LANES, relu(x), lanes);
      }
    }
  }
};

}  // namespace vov3d
