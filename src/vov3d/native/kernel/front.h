// The stem, and the projected shortcut beside the first unit: computed for the rows of one tile of that unit at a time,
// so that the largest map of the network is never written.
#pragma once
#include "convolution.h"

namespace vov3d {

// Dense 1x3x3 of stride 2 on three colours, depthwise 5x1x1, norm, ReLU; in float32 whatever the precision.
//
// A row of the input is read as nine sources (colour and row of the kernel) of three words; neighbouring outputs begin
// two floats apart. What the last five frames gave is kept in a ring.
template <class P>
struct Stem {
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

  long scratch_bytes(Shape clip) const {
    const Shape out = clip.strided(2);
    return 4 * (padded_plane(clip) * 3 + (FRAMES + 1) * map_size(out)) + 1024;
  }

  // Rows `first` to `last` of all frames, into the strip.
  void walk_rows(const Walk& walk, int first, int last, const Strip& strip, const Scratch& scratch) const {
    for (int row = first; row < last; row += ROWS) walk_tile(walk, row, std::min(last, row + ROWS), strip, scratch);
  }

 private:
  static long padded_plane(Shape clip) { return long(2 * ROWS + 1) * (clip.columns + 3); }
  long map_size(Shape out) const { return long(spatial.count) * ROWS * out.columns * LANES; }

  void walk_tile(const Walk& walk, int first, int last, const Strip& strip, Scratch scratch) const {
    const Shape out = walk.clip.strided(2);
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
      mix_frames(out, frame - 2, first, last, around, strip);
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

  void mix_frames(Shape out, int frame, int first, int last, const float* const* around, const Strip& strip) const {
    const long plane = map_size(out) / spatial.count, pixels = long(last - first) * out.columns;
    Element* map = reinterpret_cast<Element*>(strip.data) + strip.pixel(frame, first, out.columns) * to.pitch();
    for (int panel = 0; panel < spatial.count; ++panel) {
      const Vector shift = _mm512_load_ps(bias.data() + panel * LANES);
      const Mask lanes = first_lanes(to.pitch() - panel * LANES);
      Vector taps[FRAMES];
      for (int tap = 0; tap < FRAMES; ++tap)
        taps[tap] = _mm512_load_ps(temporal.data() + (panel * FRAMES + tap) * LANES);
      for (long pixel = 0; pixel < pixels; ++pixel) {
        Vector x = shift;
#pragma GCC unroll 5
        for (int tap = 0; tap < FRAMES; ++tap)
          x = _mm512_fmadd_ps(_mm512_load_ps(around[tap] + panel * plane + pixel * LANES), taps[tap], x);
        P::store(map + pixel * to.pitch() + panel * LANES, relu(x), lanes);
      }
    }
  }
};

template <class P>
struct Front {
  using Element = typename P::Element;
  Stem<P> stem;
  Panels<P> project;
  Tensor shortcut;
  int shortcut_map;

  long scratch_bytes(Shape clip, int rows) const { return strip_bytes(clip, rows) + stem.scratch_bytes(clip) + 128; }

  // Rows `first` to `last` of the stem's map.
  Strip rows(const Walk& walk, int first, int last, Scratch& scratch) const {
    const Strip strip{scratch.take<char>(strip_bytes(walk.clip, last - first)), first, last - first};
    stem.walk_rows(walk, first, last, strip, scratch);
    return strip;
  }

  // The shortcut's rows `first` to `last`, from the stem's.
  void write_shortcut(const Walk& walk, const Strip& strip, int first, int last) const {
    const Shape in = walk.clip.strided(2), out = in.strided(2);
    const long pitch = stem.to.pitch() * long(sizeof(Element));
    for (int frame = 0; frame < out.frames; ++frame)
      for (int row = first; row < last; ++row) {
        const std::vector<Source> source{{strip.data + strip.pixel(frame, 2 * row, in.columns) * pitch, 2 * pitch,
                                          int(rounded_up(stem.to.channels, P::PER_WORD) / P::PER_WORD)}};
        Element* map = reinterpret_cast<Element*>(walk.maps[shortcut_map]) +
                       (frame * out.frame() + long(row) * out.columns) * shortcut.pitch();
        const MapWriter<P, Element> writer{map, nullptr, shortcut.pitch(), false};
        multiply<P>(project, source, out.columns, 0, project.count, writer);
      }
  }

 private:
  long strip_bytes(Shape clip, int rows) const {
    const Shape map = clip.strided(2);
    return long(map.frames) * rows * map.columns * stem.to.pitch() * long(sizeof(Element)) + 64;
  }
};

}  // namespace vov3d
