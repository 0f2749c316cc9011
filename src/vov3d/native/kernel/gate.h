// Squeeze and excitation: from the means of channels to a factor for each of them.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace vov3d {

class Gate {
 public:
  Gate() = default;
  // squeeze: [hidden][channels]; excite: [channels][hidden]
  Gate(int channels, int hidden_, const float* squeeze, const float* squeeze_bias, const float* excite,
       const float* excite_bias)
      : hidden(hidden_), squeeze_(transposed(squeeze, hidden, channels)), excite_(transposed(excite, channels, hidden)),
        squeeze_bias_(squeeze_bias, squeeze_bias + hidden), excite_bias_(excite_bias, excite_bias + channels) {}

  int hidden = 0;  // 0: there is none

  // Means -> gates, in place; `between` has room for the hidden values.
  void apply(float* values, float* between) const {
    const int channels = int(excite_bias_.size());
    std::copy(squeeze_bias_.begin(), squeeze_bias_.end(), between);
    for (int c = 0; c < channels; ++c)
      for (int h = 0; h < hidden; ++h) between[h] += squeeze_[c * hidden + h] * values[c];
    std::copy(excite_bias_.begin(), excite_bias_.end(), values);
    for (int h = 0; h < hidden; ++h)
      for (int c = 0; c < channels; ++c) values[c] += excite_[h * channels + c] * std::max(between[h], 0.f);
    for (int c = 0; c < channels; ++c) values[c] = 1 / (1 + std::exp(-values[c]));
  }

 private:
  static std::vector<float> transposed(const float* matrix, int rows, int columns) {
    std::vector<float> turned;
    for (int column = 0; column < columns; ++column)
      for (int row = 0; row < rows; ++row) turned.push_back(matrix[row * columns + column]);
    return turned;
  }

  std::vector<float> squeeze_, excite_;  // so that both are read along their outputs
  std::vector<float> squeeze_bias_, excite_bias_;
};

}  // namespace vov3d
