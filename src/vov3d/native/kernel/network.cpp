// The network: steps in a row, feature maps that share memory, and the functions that Python calls.
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "unit.h"

namespace vov3d {

class AnyNetwork {
 public:
  virtual ~AnyNetwork() = default;
  virtual int stem(int channels, const float* spatial, const float* temporal, const float* bias) = 0;
  virtual int unit(int input, int channels, int outputs, int stride, bool separable, const float* expand,
                   const float* expand_bias, const float* kernel, const float* bias, Gate gate, const float* project,
                   const float* project_bias, int shortcut) = 0;
  virtual int pointwise(std::vector<int> inputs, int outputs, int stride, const float* matrix, const float* bias,
                        int shortcut, bool rectified, bool last) = 0;

  void run(const float* clips, int num_clips, Shape clip, float* features, int threads);

 protected:
  int add(std::unique_ptr<Step> step, std::vector<int> inputs, int shortcut, Tensor made) {
    const int index = int(steps_.size());
    step->index = index;
    step->output = int(tensors_.size());
    for (int input : inputs) tensors_[input].last_used = index;
    if (shortcut >= 0) tensors_[shortcut].last_used = index;
    step->inputs = std::move(inputs);
    made.made = made.last_used = index;
    tensors_.push_back(made);
    steps_.push_back(std::move(step));
    return int(tensors_.size()) - 1;
  }

  std::vector<Tensor> tensors_;
  virtual int element_bytes() const = 0;

 private:
  // What one clip needs at one time, and where in it things lie.
  struct Memory {
    Buffer<char> block;
    std::vector<char*> maps, own;
  };

  void plan(Shape clip, int threads);
  Memory& memory(int thread);

  std::vector<std::unique_ptr<Step>> steps_;
  std::mutex running_;
  Shape planned_{0, 0, 0};
  Layout layout_;
  std::vector<long> map_places_, own_places_;
  std::vector<Memory> memories_;
  std::vector<Buffer<char>> scratch_;
};

void AnyNetwork::plan(Shape clip, int threads) {
  if (clip.frames == planned_.frames && clip.rows == planned_.rows && clip.columns == planned_.columns &&
      int(memories_.size()) == threads)
    return;
  planned_ = clip;
  layout_ = Layout();
  map_places_.clear(), own_places_.clear(), memories_.clear(), scratch_.clear();
  long scratch = 0;
  for (const Tensor& tensor : tensors_)
    map_places_.push_back(layout_.place(tensor.shape(clip).pixels() * tensor.pitch() * element_bytes() + 64,
                                        tensor.made, tensor.last_used));
  for (const auto& step : steps_) {
    own_places_.push_back(layout_.place(step->own_bytes(clip), step->index, step->index));
    scratch = std::max(scratch, step->scratch_bytes(clip));
  }
  memories_.resize(threads);
  scratch_.resize(threads);
  for (Buffer<char>& buffer : scratch_) buffer.resize(scratch);
}

AnyNetwork::Memory& AnyNetwork::memory(int thread) {
  Memory& memory = memories_[thread];
  if (memory.block.size() == 0) {
    memory.block.resize(layout_.size());
    for (long place : map_places_) memory.maps.push_back(memory.block.data() + place);
    for (long place : own_places_) memory.own.push_back(memory.block.data() + place);
  }
  return memory;
}

// As long as every thread can have a clip of its own, it has; the rest are walked by all threads together.
void AnyNetwork::run(const float* clips, int num_clips, Shape clip, float* features, int threads) {
  const std::lock_guard<std::mutex> alone(running_);
  plan(clip, threads);
  const long pixels = 3 * clip.pixels();
  const Tensor& last = tensors_.back();
  const long cells = last.shape(clip).pixels() * last.pitch();
  const int apart = num_clips / threads * threads;
  for (int thread = 0; thread < (apart ? threads : 1); ++thread) memory(thread);
  Team all(threads);
  std::atomic<int> next{0};
  auto walk = [&](Team& team, int n, int where, int thread) {
    const Memory& memory = memories_[where];
    const Walk walk{team, clip, clips + n * pixels, features + n * cells, memory.maps, memory.own,
                    scratch_[thread].data()};
    for (const auto& step : steps_) step->run(walk);
  };
  auto work = [&](int thread) {
    Team one(1);
    for (int n; (n = next.fetch_add(1)) < apart;) walk(one, n, thread, thread);
    if (apart < num_clips) all.wait();
    for (int n = apart; n < num_clips; ++n) walk(all, n, 0, thread);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
}

template <class P>
class Network : public AnyNetwork {
 public:
  int stem(int channels, const float* spatial, const float* temporal, const float* bias) override {
    const Tensor to{channels, 1};
    Panels<Float32> panels(spatial, bias, channels, std::vector<int>(9, 3));
    return add(std::make_unique<Stem<P>>(std::move(panels), temporal, to), {}, -1, to);
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
    return add(std::move(step), {input}, shortcut, to);
  }

  int pointwise(std::vector<int> inputs, int outputs, int stride, const float* matrix, const float* bias, int shortcut,
                bool rectified, bool last) override {
    std::vector<Tensor> from;
    std::vector<int> channels;
    for (int input : inputs) from.push_back(tensors_[input]), channels.push_back(tensors_[input].channels);
    const Tensor to{outputs, from[0].halvings + (stride == 2)};
    auto step = std::make_unique<Pointwise<P>>(Panels<P>(matrix, bias, outputs, channels), std::move(from), to, stride,
                                               shortcut, rectified, last);
    return add(std::move(step), std::move(inputs), shortcut, to);
  }

 protected:
  int element_bytes() const override { return sizeof(typename P::Element); }
};

}  // namespace vov3d

extern "C" {

void* vov3d_new(int bits) {
  if (bits == 32) return static_cast<vov3d::AnyNetwork*>(new vov3d::Network<vov3d::Float32>());
  return static_cast<vov3d::AnyNetwork*>(new vov3d::Network<vov3d::BFloat16>());
}

void vov3d_delete(void* network) { delete static_cast<vov3d::AnyNetwork*>(network); }

int vov3d_stem(void* network, int channels, const float* spatial, const float* temporal, const float* bias) {
  return static_cast<vov3d::AnyNetwork*>(network)->stem(channels, spatial, temporal, bias);
}

int vov3d_unit(void* network, int input, int channels, int outputs, int stride, int separable, const float* expand,
               const float* expand_bias, const float* kernel, const float* bias, int hidden, const float* squeeze,
               const float* squeeze_bias, const float* excite, const float* excite_bias, const float* project,
               const float* project_bias, int shortcut) {
  vov3d::Gate gate;
  gate.hidden = hidden;
  if (hidden) {
    gate.squeeze.assign(squeeze, squeeze + hidden * channels);
    gate.squeeze_bias.assign(squeeze_bias, squeeze_bias + hidden);
    gate.excite.assign(excite, excite + hidden * channels);
    gate.excite_bias.assign(excite_bias, excite_bias + channels);
  }
  return static_cast<vov3d::AnyNetwork*>(network)->unit(input, channels, outputs, stride, separable, expand,
                                                        expand_bias, kernel, bias, std::move(gate), project,
                                                        project_bias, shortcut);
}

int vov3d_pointwise(void* network, int num_inputs, const int* inputs, int outputs, int stride, const float* matrix,
                    const float* bias, int shortcut, int rectified, int last) {
  return static_cast<vov3d::AnyNetwork*>(network)->pointwise(std::vector<int>(inputs, inputs + num_inputs), outputs,
                                                             stride, matrix, bias, shortcut, rectified, last);
}

// 0, or 1 if there is not enough memory or a thread cannot be made.
int vov3d_run(void* network, const float* clips, int num_clips, int frames, int rows, int columns, float* features,
              int threads) {
  try {
    static_cast<vov3d::AnyNetwork*>(network)->run(clips, num_clips, {frames, rows, columns}, features, threads);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
}
