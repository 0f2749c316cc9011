// Pointwise convolutions: pixels times a matrix of weights, tile by tile in registers.
//
// Weights lie in panels, each of one vector of output channels: [panel][word of input channels][lane][elements of a
// word]. A tile is a few pixels times a few panels; its sums stay in registers over all input channels of all sources,
// so that a concatenation is a list of sources that is never written.
#pragma once
#include <algorithm>
#include <vector>

#include "memory.h"
#include "precision.h"

namespace vov3d {

// Input channels as they lie in memory: pixel p begins at `data + p * pitch` bytes and has `words` words.
struct Source {
  const char* data;
  long pitch;
  int words;
};

// The same with a pitch that the compiler knows, so that one register addresses all pixels.
template <int PITCH>
struct DenseSource {
  static constexpr long pitch = PITCH;
  const char* data;
  int words;
};

template <class P>
struct Panels {
  Buffer<typename P::Element> weights;
  Buffer<float> bias;
  int outputs = 0, count = 0;
  long words = 0;

  // matrix: [outputs][sum of inputs]; each group of inputs begins with a word of its own.
  Panels(const float* matrix, const float* bias_, int outputs_, const std::vector<int>& inputs)
      : outputs(outputs_), count(int(rounded_up(outputs_, LANES) / LANES)) {
    long width = 0;
    for (int group : inputs) words += rounded_up(group, P::PER_WORD) / P::PER_WORD, width += group;
    weights.resize(count * words * LANES * P::PER_WORD);
    bias.resize(count * LANES);
    for (int output = 0; output < outputs; ++output) {
      bias[output] = bias_ ? bias_[output] : 0.f;
      long word = 0, column = 0;
      for (int group : inputs) {
        for (int i = 0; i < group; ++i)
          *at(output, word + i / P::PER_WORD, i % P::PER_WORD) = P::narrow(matrix[output * width + column + i]);
        word += rounded_up(group, P::PER_WORD) / P::PER_WORD, column += group;
      }
    }
  }

  const Words* panel(int index) const { return (const Words*)weights.data() + index * words; }

 private:
  typename P::Element* at(int output, long word, int element) {
    return weights.data() + ((output / LANES * words + word) * LANES + output % LANES) * P::PER_WORD + element;
  }
};

// Where the pixels of a tile begin.
template <int PIXELS>
class Pixels {
 public:
  Pixels(const Source& source, long pixel) : pitch_(source.pitch) {
    for (int i = 0; i < BASES; ++i) {
      bases_[i] = source.data + (pixel + 3 * i) * pitch_;
      asm("" : "+r"(bases_[i]));  // or the compiler keeps an address for each pixel, and runs out of registers
    }
  }
  const char* operator[](int p) const { return bases_[p / 3] + p % 3 * pitch_; }
  void operator++() {
#pragma GCC unroll 8
    for (const char*& base : bases_) base += 4;
  }

 private:
  static constexpr int BASES = (PIXELS + 2) / 3;  // x86 addresses three pixels from one register
  const long pitch_;
  const char* bases_[BASES];
};

template <int PITCH>
class DensePixels {
 public:
  DensePixels(const DenseSource<PITCH>& source, long pixel) : base_(source.data + pixel * PITCH) {}
  const char* operator[](int p) const { return base_ + p * PITCH; }
  void operator++() { base_ += 4; }

 private:
  const char* base_;
};

template <int PIXELS>
Pixels<PIXELS> pixels_of(const Source& source, long pixel) { return {source, pixel}; }
template <int PIXELS, int PITCH>
DensePixels<PITCH> pixels_of(const DenseSource<PITCH>& source, long pixel) { return {source, pixel}; }

// One tile: out(pixel, panel, sum) for PIXELS pixels from `pixel` on and PANELS panels from `panel` on; sums begin with
// the bias.
template <class P, int PIXELS, int PANELS, class AnySource, class Out>
inline void multiply_tile(const Panels<P>& panels, const std::vector<AnySource>& sources, long pixel, int panel,
                          const Out& out) {
  Vector sums[PIXELS][PANELS];
#pragma GCC unroll 32
  for (int p = 0; p < PIXELS; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < PANELS; ++v) sums[p][v] = load(panels.bias.data() + (panel + v) * LANES);
  const Words* weights = panels.panel(panel);
  const long stride = panels.words;
  for (const AnySource& source : sources) {
    auto at = pixels_of<PIXELS>(source, pixel);
    const Words* end = weights + source.words;
#pragma GCC unroll 2
    for (; weights < end; ++weights, ++at) {
      Words row[PANELS];
#pragma GCC unroll 8
      for (int v = 0; v < PANELS; ++v) row[v] = weights[v * stride];
#pragma GCC unroll 32
      for (int p = 0; p < PIXELS; ++p) {
        std::int32_t word;
        std::memcpy(&word, at[p], 4);
        const Words wide = all(word);
#pragma GCC unroll 8
        for (int v = 0; v < PANELS; ++v) sums[p][v] = P::add_product(sums[p][v], wide, row[v]);
      }
    }
  }
#pragma GCC unroll 32
  for (int p = 0; p < PIXELS; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < PANELS; ++v) out(pixel + p, panel + v, sums[p][v]);
}

// As many as registers hold the sums of, beside a row of weights and a word; with more than 14 addresses run out.
template <int PANELS>
constexpr int TILE_PIXELS = std::min((REGISTERS - 1 - PANELS) / PANELS, 14);

// All pixels of a few panels. The last tile overlaps the one before it: what it writes twice is the same.
template <class P, int PANELS, class AnySource, class Out>
void multiply_panels(const Panels<P>& panels, const std::vector<AnySource>& sources, long pixels, int panel,
                     const Out& out) {
  constexpr int PIXELS = TILE_PIXELS<PANELS>;
  if (pixels < PIXELS) {
    for (long pixel = 0; pixel < pixels; ++pixel) multiply_tile<P, 1, PANELS>(panels, sources, pixel, panel, out);
    return;
  }
  for (long pixel = 0; pixel < pixels; pixel += PIXELS)
    multiply_tile<P, PIXELS, PANELS>(panels, sources, pixel < pixels - PIXELS ? pixel : pixels - PIXELS, panel, out);
}

// out(pixel, panel, sum) for every pixel and the panels from `first` up to `last`.
template <class P, class AnySource, class Out>
void multiply(const Panels<P>& panels, const std::vector<AnySource>& sources, long pixels, int first, int last,
              const Out& out) {
  while (first < last) {
    const int left = last - first;
    if (left == 1) {
      multiply_panels<P, 1>(panels, sources, pixels, first, out);
      first += 1;
    } else if (left == 2 || left == 4) {
      multiply_panels<P, 2>(panels, sources, pixels, first, out);
      first += 2;
    } else {
      multiply_panels<P, 3>(panels, sources, pixels, first, out);
      first += 3;
    }
  }
}

}  // namespace vov3d
