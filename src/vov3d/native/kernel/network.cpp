// The network, and the functions that Python calls.
#include "graph.h"
#include "int8_network.h"
#include "unit.h"

namespace vov3d {

class FloatNetwork : public Graph {
 public:
  virtual int stem(int channels, const float* spatial, const float* temporal, const float* bias) = 0;
  virtual int unit(int input, int channels, int outputs, int stride, bool separable, const float* expand,
                   const float* expand_bias, const float* kernel, const float* bias, Gate gate, const float* project,
                   const float* project_bias, int shortcut) = 0;
  virtual int pointwise(std::vector<int> inputs, int outputs, int stride, const float* matrix, const float* bias,
                        int shortcut, bool rectified, bool last) = 0;
};

template <class P>
class Network : public FloatNetwork {
 public:
  int stem(int channels, const float* spatial, const float* temporal, const float* bias) override {
    Tensor to{channels, 1};
    to.written = false;
    stem_ = std::make_unique<Stem<P>>(spatial, temporal, bias, to);
    return stem_map_ = add(std::make_unique<Within>(), {}, -1, to);
  }

  int unit(int input, int channels, int outputs, int stride, bool separable, const float* expand,
           const float* expand_bias, const float* kernel, const float* bias, Gate gate, const float* project,
           const float* project_bias, int shortcut) override {
    const Tensor from = tensors_[input], to{outputs, from.halvings + (stride == 2)};
    std::vector<int> panels;
    for (int left = channels; left > 0; left -= LANES) panels.push_back(std::min(left, LANES));
    auto step = std::make_unique<Unit<P>>(
        Panels<P>(expand, expand_bias, channels, {from.channels}), Panels<P>(project, project_bias, outputs, panels),
        from, to, channels, stride, shortcut, separable, kernel, bias, std::move(gate));
    if (input == stem_map_) step->front = std::move(front_);
    return add(std::move(step), {input}, shortcut, to);
  }

  int pointwise(std::vector<int> inputs, int outputs, int stride, const float* matrix, const float* bias, int shortcut,
                bool rectified, bool last) override {
    std::vector<Tensor> from;
    std::vector<int> channels;
    for (int input : inputs) from.push_back(tensors_[input]), channels.push_back(tensors_[input].channels);
    const Tensor to{outputs, from[0].halvings + (stride == 2)};
    Panels<P> panels(matrix, bias, outputs, channels);
    if (inputs[0] == stem_map_) {
      const int map = add(std::make_unique<Within>(), std::move(inputs), -1, to);
      front_.reset(new Front<P>{std::move(*stem_), std::move(panels), to, map});
      return map;
    }
    auto step = std::make_unique<Pointwise<P>>(std::move(panels), std::move(from), to, stride, shortcut, rectified, last);
    return add(std::move(step), std::move(inputs), shortcut, to);
  }

 protected:
  int element_bytes() const override { return sizeof(typename P::Element); }

 private:
  int stem_map_ = -1;
  std::unique_ptr<Stem<P>> stem_;
  std::unique_ptr<Front<P>> front_;  // of the stem and the shortcut beside the first unit, until that comes
};

}  // namespace vov3d

namespace {

vov3d::FloatNetwork* float_network(void* network) {
  return static_cast<vov3d::FloatNetwork*>(static_cast<vov3d::Graph*>(network));
}

vov3d::Graph* new_network(int bits) {
  if (bits == 32) return new vov3d::Network<vov3d::Float32>();
#if defined(__AVX512BF16__)
  if (bits == 16) return new vov3d::Network<vov3d::BFloat16>();
#endif
  return nullptr;
}

}  // namespace

extern "C" {

// Null if the compiler does not know the instructions, or there is no memory.
void* vov3d_new(int bits) {
  return vov3d::guarded<void*>(nullptr, [&] { return new_network(bits); });
}

void vov3d_delete(void* network) { delete static_cast<vov3d::Graph*>(network); }

int vov3d_stem(void* network, int channels, const float* spatial, const float* temporal, const float* bias) {
  return vov3d::guarded(-1, [&] { return float_network(network)->stem(channels, spatial, temporal, bias); });
}

int vov3d_unit(void* network, int input, int channels, int outputs, int stride, int separable, const float* expand,
               const float* expand_bias, const float* kernel, const float* bias, int hidden, const float* squeeze,
               const float* squeeze_bias, const float* excite, const float* excite_bias, const float* project,
               const float* project_bias, int shortcut) {
  return vov3d::guarded(-1, [&] {
    vov3d::Gate gate;
    if (hidden) gate = vov3d::Gate(channels, hidden, squeeze, squeeze_bias, excite, excite_bias);
    return float_network(network)->unit(input, channels, outputs, stride, separable, expand, expand_bias, kernel, bias,
                                        std::move(gate), project, project_bias, shortcut);
  });
}

int vov3d_pointwise(void* network, int num_inputs, const int* inputs, int outputs, int stride, const float* matrix,
                    const float* bias, int shortcut, int rectified, int last) {
  return vov3d::guarded(-1, [&] {
    return float_network(network)->pointwise(std::vector<int>(inputs, inputs + num_inputs), outputs, stride, matrix,
                                             bias, shortcut, rectified, last);
  });
}

// 0, or 1 if there is not enough memory or a thread cannot be made.
int vov3d_run(void* network, const float* clips, int num_clips, int frames, int rows, int columns, float* features,
              int threads, double* seconds) {
  return vov3d::guarded(1, [&] {
    static_cast<vov3d::Graph*>(network)->run(clips, num_clips, {frames, rows, columns}, features, threads, seconds);
    return 0;
  });
}
}
