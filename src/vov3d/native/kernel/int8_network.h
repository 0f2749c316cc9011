// A network of bytes, and the functions that Python calls to make it.
#pragma once
#include "graph.h"
#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__)
#include "int8_unit.h"

namespace vov3d {

class ByteNetwork : public Graph {
 public:
  int stem(int channels, const Level* spatial, const float* temporal, const float* bias, float step, float zero) {
    const Tensor to{channels, 1};
    return add(std::make_unique<ByteStem>(spatial, temporal, bias, step, zero, to), {}, -1, to);
  }

  int unit(int input, int channels, int outputs, int stride, ByteMatrix expand, ByteMatrix project,
           const Level* kernel, const float* scale, const float* bias, ByteGate gate, const Byte* table, int zero,
           int shortcut, float shortcut_scale) {
    const Tensor from = tensors_[input], to{outputs, from.halvings + (stride == 2)};
    auto step = std::make_unique<ByteUnit>(std::move(expand), std::move(project), from, to, channels, stride,
                                           beside(shortcut, shortcut_scale), kernel, scale, bias, std::move(gate),
                                           table, zero);
    return add(std::move(step), {input}, shortcut, to);
  }

  int pointwise(std::vector<int> inputs, int outputs, int stride, const Level* matrix, const float* scale,
                const float* bias, int shortcut, float shortcut_scale, Values values) {
    std::vector<Tensor> from;
    std::vector<int> channels;
    for (int input : inputs) from.push_back(tensors_[input]), channels.push_back(tensors_[input].channels);
    const int width = values == Values::WORDS ? 2 * int(pitch_of(outputs)) : outputs;
    const Tensor to{width, from[0].halvings + (stride == 2)};
    auto step = std::make_unique<BytePointwise>(ByteMatrix(matrix, scale, bias, outputs, channels), std::move(from), to,
                                                stride, beside(shortcut, shortcut_scale), values);
    const int made = add(std::move(step), std::move(inputs), shortcut, to);
    values_.resize(tensors_.size(), Values::BYTES);
    values_[made] = values;
    return made;
  }

  int channels_of(int map) const { return tensors_[map].channels; }

 protected:
  int element_bytes() const override { return 1; }

 private:
  Beside beside(int map, float scale) {
    values_.resize(tensors_.size(), Values::BYTES);
    return {map, map < 0 ? Values::BYTES : values_[map], scale};
  }

  std::vector<Values> values_;  // of each map
};

inline ByteNetwork* byte_network(void* network) { return static_cast<ByteNetwork*>(static_cast<Graph*>(network)); }

}  // namespace vov3d

extern "C" {

void* vov3d_int8_new() {
  return vov3d::guarded<void*>(nullptr, [] { return static_cast<vov3d::Graph*>(new vov3d::ByteNetwork()); });
}

int vov3d_int8_stem(void* network, int channels, const std::int8_t* spatial, const float* temporal, const float* bias,
                    float step, float zero) {
  return vov3d::guarded(
      -1, [&] { return vov3d::byte_network(network)->stem(channels, spatial, temporal, bias, step, zero); });
}

int vov3d_int8_unit(void* network, int input, int channels, int outputs, int stride, const std::int8_t* expand,
                    const float* expand_scale, const float* expand_bias, const std::int8_t* kernel, const float* scale,
                    const float* bias, int hidden, const float* squeeze, const float* squeeze_bias,
                    const float* excite, const float* excite_bias, const float* gate_scale, const std::uint8_t* table,
                    int zero, const std::int8_t* project, const float* project_scale, const float* project_bias,
                    int shortcut, float shortcut_scale) {
  using namespace vov3d;
  return guarded(-1, [&] {
    ByteNetwork* bytes = byte_network(network);
    ByteGate gate;
    if (hidden)
      gate = {Gate(channels, hidden, squeeze, squeeze_bias, excite, excite_bias), {gate_scale, gate_scale + channels}};
    return bytes->unit(input, channels, outputs, stride,
                       ByteMatrix(expand, expand_scale, expand_bias, channels, {bytes->channels_of(input)}),
                       ByteMatrix(project, project_scale, project_bias, outputs, {channels}), kernel, scale, bias,
                       std::move(gate), table, zero, shortcut, shortcut_scale);
  });
}

// values: 0 bytes, 1 signed 16-bit words, 2 the features in float32.
int vov3d_int8_pointwise(void* network, int num_inputs, const int* inputs, int outputs, int stride,
                         const std::int8_t* matrix, const float* scale, const float* bias, int shortcut,
                         float shortcut_scale, int values) {
  return vov3d::guarded(-1, [&] {
    return vov3d::byte_network(network)->pointwise(std::vector<int>(inputs, inputs + num_inputs), outputs, stride,
                                                   matrix, scale, bias, shortcut, shortcut_scale,
                                                   vov3d::Values(values));
  });
}
}
#endif
