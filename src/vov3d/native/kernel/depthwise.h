// Depthwise 3x3x3 convolutions in space and time, one panel of channels and one output row at a time.
//
// Frames come one by one, and each is read once: what later outputs need of the last two frames waits in two maps that
// change places with every frame.
#pragma once
#include "precision.h"

namespace vov3d {

// Kernels of one panel, a vector a tap. Separable: 9 taps in space, then 3 in time. Else 3 times 9, earliest first.
constexpr int separable_taps = 12, full_taps = 27;

template <class P, int STRIDE, bool SEPARABLE>
struct Depthwise {
  using Element = typename P::Element;
  static constexpr int KERNELS = SEPARABLE ? 1 : 3;

  // One output row: `above` is the input of its first tap, `older` and `newer` are what waits; what is to wait longest
  // is left in `older`. finish(column, value) takes each output of the frame before.
  template <class Finish>
  static void row(const Element* above, long pitch, const float* taps, float* older, float* newer, int columns,
                  const Finish& finish) {
    int column = 0;
    for (; column + 4 <= columns; column += 4) some<4>(above, pitch, taps, older, newer, column, finish);
    for (; column < columns; ++column) some<1>(above, pitch, taps, older, newer, column, finish);
  }

 private:
  template <int COLUMNS, class Finish>
  [[gnu::always_inline]] static void some(const Element* above, long pitch, const float* taps, float* older,
                                          float* newer, int column, const Finish& finish) {
    Vector sums[KERNELS][COLUMNS];
    in_space<COLUMNS>(above + column * STRIDE * LANES, pitch, taps, sums);
#pragma GCC unroll 4
    for (int i = 0; i < COLUMNS; ++i) {
      float *before = older + (column + i) * LANES, *last = newer + (column + i) * LANES;
      Vector x = load(before);
      store(before, sums[0][i]);
      if constexpr (SEPARABLE) {  // sums in space wait
        const float* in_time = taps + 9 * LANES;
        x *= load(in_time);
        x = fmadd(load(last), load(in_time + LANES), x);
        x = fmadd(sums[0][i], load(in_time + 2 * LANES), x);
      } else {  // what the last two frames are worth for the output that comes next, and the last for the one after it
        x = sums[2][i] + x;
        store(last, sums[1][i] + load(last));
      }
      finish(column + i, x);
    }
  }

  template <int COLUMNS>
  [[gnu::always_inline]] static void in_space(const Element* above, long pitch, const float* taps,
                                              Vector (&sums)[KERNELS][COLUMNS]) {
    constexpr int INPUTS = (COLUMNS - 1) * STRIDE + 3;
    for (auto& kernel : sums)
      for (Vector& sum : kernel) sum = Vector{};
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y) {
      Vector inputs[INPUTS];
#pragma GCC unroll 16
      for (int i = 0; i < INPUTS; ++i) inputs[i] = load(above + y * pitch + i * LANES);
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x)
#pragma GCC unroll 3
        for (int k = 0; k < KERNELS; ++k) {
          const Vector tap = load(taps + ((k * 3 + y) * 3 + x) * LANES);
#pragma GCC unroll 8
          for (int i = 0; i < COLUMNS; ++i) sums[k][i] = fmadd(inputs[i * STRIDE + x], tap, sums[k][i]);
        }
    }
  }
};

}  // namespace vov3d
