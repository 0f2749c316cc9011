// A bottleneck: pointwise, ReLU, depthwise in space and time, norm, gate, Swish, pointwise, residual sum, ReLU.
//
// It is walked in tiles of rows or groups of panels, each small enough that what lies between the two products stays in
// the core's cache, and each over all frames in turn:
//
//     frame t ── expand ──> tile with a border ── 3x3 ──> taps in time, with the frames before ──> output of frame t-1
//
// Without a gate and with all panels in one tile that output is activated and projected at once. Else it is written,
// the sums for the gate along with it, and a second pass activates and projects chunk by chunk. Before the first unit
// stands the stem, whose rows come from `Front`.
#pragma once
#include "depthwise.h"
#include "front.h"
#include "gate.h"

namespace vov3d {

template <class P>
struct Unit : Step {
  using Element = typename P::Element;
  static constexpr long CACHE_BYTES = 800 << 10, BESIDE_FRONT = 500 << 10;

  Panels<P> expand, project;
  Buffer<float> taps, bias;  // [panel][tap][lane], [panel][lane]
  Gate gate;
  std::unique_ptr<Front<P>> front;  // of the first unit only
  Tensor from, to;
  int channels, stride, shortcut;
  bool separable;

  Unit(Panels<P> expand_, Panels<P> project_, Tensor from_, Tensor to_, int channels_, int stride_, int shortcut_,
       bool separable_, const float* kernel, const float* bias_, Gate gate_)
      : expand(std::move(expand_)), project(std::move(project_)), gate(std::move(gate_)), from(from_), to(to_),
        channels(channels_), stride(stride_), shortcut(shortcut_), separable(separable_) {
    const int count = num_taps();
    taps.resize(long(expand.count) * count * LANES);
    bias.resize(long(expand.count) * LANES);
    for (int c = 0; c < channels; ++c) {
      bias[c] = bias_[c];
      for (int tap = 0; tap < count; ++tap)
        taps[(c / LANES * count + tap) * LANES + c % LANES] = kernel[c * count + tap];
    }
  }

  long own_bytes(Shape clip, int threads) const override {
    const Shape in = from.shape(clip), out = in.strided(stride);
    const long mixed = out.pixels() * expand.count * LANES * long(sizeof(Element));
    return totals_size(out) * 4 + (fused(tile(in, out, threads)) ? 0 : mixed);
  }

  long scratch_bytes(Shape clip, int threads) const override {
    const Shape in = from.shape(clip), out = in.strided(stride);
    const Tiling tiling = tile(in, out, threads);
    const int rows = int(parts_of(out.rows, tiling.tiles));
    const long first = cache_bytes(in, out, tiling) + in_rows(rows) * in.columns * 4l;
    const long second = long(expand.count) * LANES * (CHUNK * long(sizeof(Element)) + 4) + 4 * gate.hidden;
    return (front ? front->scratch_bytes(clip, in_rows(rows)) : 0) + std::max(first, second) + 4096;
  }

  void run(const Walk& walk) const override {
    const Shape in = from.shape(walk.clip), out = in.strided(stride);
    const Tiling tiling = tile(in, out, walk.team.size());
    float* totals = reinterpret_cast<float*>(walk.own[index]);
    Element* mixed = reinterpret_cast<Element*>(totals + totals_size(out));
    walk.share(tiling.tiles * tiling.groups, [&](int task) {
      const auto [first_row, rows] = part(out.rows, tiling.tiles, task % tiling.tiles);
      const auto [first_panel, panels] = part(expand.count, tiling.groups, task / tiling.tiles);
      const Tile tile{first_row, rows, first_panel, panels};
      float* sums = totals + (first_row * expand.count + first_panel) * LANES;
      if (stride == 1)
        separable ? walk_tile<1, true>(walk, in, out, tile, fused(tiling), mixed, sums)
                  : walk_tile<1, false>(walk, in, out, tile, fused(tiling), mixed, sums);
      else
        separable ? walk_tile<2, true>(walk, in, out, tile, fused(tiling), mixed, sums)
                  : walk_tile<2, false>(walk, in, out, tile, fused(tiling), mixed, sums);
    });
    if (!fused(tiling)) second_pass(walk, out, mixed, totals);
  }

 private:
  struct Tiling {
    int tiles, groups;
  };
  struct Tile {
    int first_row, rows, first_panel, panels;
  };

  int num_taps() const { return separable ? separable_taps : full_taps; }
  bool fused(Tiling tiling) const { return gate.hidden == 0 && tiling.groups == 1; }
  int in_rows(int rows) const { return (rows - 1) * stride + 3; }
  long totals_size(Shape out) const { return long(out.rows) * expand.count * LANES; }

  static std::pair<int, int> part(int whole, int parts, int index) {
    const int begin = whole * index / parts;
    return {begin, whole * (index + 1) / parts - begin};
  }

  long cache_bytes(Shape in, Shape out, Tiling tiling) const {
    const long rows = parts_of(out.rows, tiling.tiles), panels = parts_of(expand.count, tiling.groups);
    const long inputs = in_rows(int(rows)) * (in.columns + 2l), outputs = rows * out.columns;
    return panels * LANES * (inputs * long(sizeof(Element)) + outputs * (8 + long(sizeof(Element))));
  }

  // As few as fit into the cache and give every thread as many; a small map is not cut into rows.
  Tiling tile(Shape in, Shape out, int threads) const {
    Tiling tiling{1, 1};
    const bool small = is_small(out);
    int& parts = small ? tiling.groups : tiling.tiles;
    const int most = small ? expand.count : out.rows;
    const long room = front ? BESIDE_FRONT : CACHE_BYTES;
    for (parts = std::min(threads, most); parts < most && cache_bytes(in, out, tiling) > room;)
      parts = std::min(parts + threads, most);
    return tiling;
  }

  // What lies between the two products of one tile: [panel][row][column][lane], `wide` with a border of zeros.
  struct Middle {
    Element* wide;
    float *older, *newer;  // what waits for the frames to come
    long wide_row, wide_plane, narrow_plane;
  };

  template <int STRIDE, bool SEPARABLE>
  void walk_tile(const Walk& walk, Shape in, Shape out, Tile tile, bool fused, Element* mixed, float* sums) const {
    Scratch scratch(walk.scratch);
    const int above = tile.first_row * STRIDE - 1;
    const int begin = std::max(above, 0), end = std::min(above + in_rows(tile.rows), in.rows);
    const long wanted = long(end - begin) * in.columns, pixels = long(tile.rows) * out.columns;
    Middle middle = take_middle(in, out, tile, scratch);
    Element* here = fused ? scratch.take<Element>(tile.panels * middle.narrow_plane) : nullptr;
    int* places = scratch.take<int>(wanted);
    for (int y = begin, i = 0; y < end; ++y)
      for (int x = 0; x < in.columns; ++x) places[i++] = int((y - above) * middle.wide_row + (x + 1) * LANES);
    const Strip input = front ? front->rows(walk, begin, end, scratch) : Strip{walk.maps[inputs[0]], 0, in.rows};
    if (front && tile.first_panel == 0) front->write_shortcut(walk, input, tile.first_row, tile.first_row + tile.rows);
    for (int y = 0; y < tile.rows; ++y) std::memset(sums + y * expand.count * LANES, 0, tile.panels * LANES * 4);
    for (int frame = 0; frame <= in.frames; ++frame) {
      if (frame < in.frames)
        expand_frame(input.data, input.pixel(frame, begin, in.columns), wanted, tile, places, middle);
      else
        std::memset(middle.wide, 0, tile.panels * middle.wide_plane * sizeof(Element));
      const long first = (frame - 1) * out.frame() + long(tile.first_row) * out.columns;
      Element* done = fused ? here : mixed + (tile.first_panel * out.pixels() + first) * LANES;
      const long done_plane = fused ? middle.narrow_plane : out.pixels() * LANES;
      for (int panel = 0; panel < tile.panels; ++panel)
        mix_panel<STRIDE, SEPARABLE>(middle, tile, panel, out.columns, frame > 0, done + panel * done_plane, sums);
      std::swap(middle.older, middle.newer);
      if (fused && frame > 0) project_pixels(walk, first, pixels, here, middle.narrow_plane);
    }
  }

  Middle take_middle(Shape in, Shape out, Tile tile, Scratch& scratch) const {
    Middle middle{};
    middle.wide_row = long(in.columns + 2) * LANES;
    middle.wide_plane = in_rows(tile.rows) * middle.wide_row;
    middle.narrow_plane = long(tile.rows) * out.columns * LANES;
    middle.wide = scratch.take<Element>(tile.panels * middle.wide_plane);
    std::memset(middle.wide, 0, tile.panels * middle.wide_plane * sizeof(Element));
    for (float** waiting : {&middle.older, &middle.newer}) {
      *waiting = scratch.take<float>(tile.panels * middle.narrow_plane);
      std::memset(*waiting, 0, tile.panels * middle.narrow_plane * 4);
    }
    return middle;
  }

  // One panel of the frame that has just come, which ends the outputs of the frame before, if there is one.
  template <int STRIDE, bool SEPARABLE>
  void mix_panel(const Middle& middle, Tile tile, int panel, int columns, bool ends, Element* done, float* sums) const {
    const int whole = tile.first_panel + panel;
    const float* kernel = taps.data() + long(whole) * num_taps() * LANES;
    const Vector shift = load(bias.data() + whole * LANES);
    for (int y = 0; y < tile.rows; ++y) {
      Element* to_row = done + long(y) * columns * LANES;
      float* total = sums + (long(y) * expand.count + panel) * LANES;
      Vector sum = load(total);
      const long narrow_row = panel * middle.narrow_plane + long(y) * columns * LANES;
      auto row = [&](auto finish) {
        Depthwise<P, STRIDE, SEPARABLE>::row(middle.wide + panel * middle.wide_plane + y * STRIDE * middle.wide_row,
                                             middle.wide_row, kernel, middle.older + narrow_row,
                                             middle.newer + narrow_row, columns, finish);
      };
      if (!ends)
        row([](int, Vector) {});
      else if (gate.hidden)
        row([&](int column, Vector x) {
          x += shift;
          sum += x;
          __builtin_prefetch(to_row + (columns + column) * LANES, 1, 2);  // to write the next row
          store(to_row + column * LANES, x);
        });
      else
        row([&](int column, Vector x) {
          Vector one[]{x + shift};
          P::swish(one);
          store(to_row + column * LANES, one[0]);
        });
      store(total, sum);
    }
  }

  void expand_frame(const char* map, long first, long pixels, Tile tile, const int* places,
                    const Middle& middle) const {
    const long pitch = from.pitch() * long(sizeof(Element));
    const std::vector<Source> source{
        {map + first * pitch, pitch, int(rounded_up(from.channels, P::PER_WORD) / P::PER_WORD)}};
    multiply<P>(expand, source, pixels, tile.first_panel, tile.first_panel + tile.panels,
                [&](long pixel, int panel, Vector sum) {
                  store(middle.wide + (panel - tile.first_panel) * middle.wide_plane + places[pixel], relu(sum));
                });
  }

  void project_pixels(const Walk& walk, long first, long pixels, const Element* mixed, long plane) const {
    std::vector<DenseSource<LANES * sizeof(Element)>> sources;
    for (int left = channels; left > 0; left -= LANES, mixed += plane)
      sources.push_back({reinterpret_cast<const char*>(mixed), int(rounded_up(std::min(left, LANES), P::PER_WORD) / P::PER_WORD)});
    auto map = [&](int tensor) { return reinterpret_cast<Element*>(walk.maps[tensor]) + first * to.pitch(); };
    const MapWriter<P, Element> writer{map(output), shortcut < 0 ? nullptr : map(shortcut), to.pitch(), true};
    multiply<P>(project, sources, pixels, 0, project.count, writer);
  }

  void second_pass(const Walk& walk, Shape out, const Element* mixed, const float* totals) const {
    Scratch scratch(walk.scratch);
    float* gates = scratch.take<float>(long(expand.count) * LANES);
    if (gate.hidden) compute_gates(out, totals, gates, scratch.take<float>(gate.hidden));
    Element* active = scratch.take<Element>(long(expand.count) * CHUNK * LANES);
    const long plane = out.pixels() * LANES;
    share_pixels(walk, out, CHUNK, [&](long first, long pixels) {
      if (!gate.hidden) return project_pixels(walk, first, pixels, mixed + first * LANES, plane);
      for (int panel = 0; panel < expand.count; ++panel)
        activate(mixed + panel * plane + first * LANES, pixels, load(gates + panel * LANES),
                 active + panel * long(CHUNK) * LANES);
      project_pixels(walk, first, pixels, active, CHUNK * LANES);
    });
  }

  // One panel of a chunk. The next chunk is asked for meanwhile: it comes while this one is projected.
  static void activate(const Element* mixed, long pixels, Vector gates, Element* active) {
    constexpr int AT_ONCE = REGISTERS / 4;
    long pixel = 0;
    for (; pixel + AT_ONCE <= pixels; pixel += AT_ONCE)
      activate<AT_ONCE>(mixed + pixel * LANES, gates, active + pixel * LANES);
    for (; pixel < pixels; ++pixel) activate<1>(mixed + pixel * LANES, gates, active + pixel * LANES);
  }

  template <int COUNT>
  static void activate(const Element* mixed, Vector gates, Element* active) {
    Vector x[COUNT];
    for_each<COUNT>([&](int i) {
      __builtin_prefetch(mixed + (CHUNK + i) * LANES, 0, 2);
      x[i] = load(mixed + i * LANES) * gates;
    });
    P::swish(x);
    for_each<COUNT>([&](int i) { store(active + i * LANES, x[i]); });
  }

  void compute_gates(Shape out, const float* totals, float* gates, float* between) const {
    const int width = expand.count * LANES;
    std::memset(gates, 0, width * 4);
    for (int row = 0; row < out.rows; ++row)
      for (int c = 0; c < width; ++c) gates[c] += totals[row * width + c];
    for (int c = 0; c < width; ++c) gates[c] /= float(out.pixels());
    gate.apply(gates, between);
  }
};

}  // namespace vov3d
