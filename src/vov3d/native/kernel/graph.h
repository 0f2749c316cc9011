// Steps in a row, feature maps that share memory, and a team of threads that walks clips through them.
#pragma once
#include <time.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "step.h"

namespace vov3d {

// What some work returns, or what stands for a failure: no exception may reach Python.
template <class T, class Work>
T guarded(T failed, const Work& work) {
  try {
    return work();
  } catch (const std::exception&) {
    return failed;
  }
}

// Of this thread: other programs that use the processor in between do not count.
inline double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

class Graph {
 public:
  virtual ~Graph() = default;
  // seconds: the CPU time that each step took the first thread is added to it, if it is not null.
  void run(const float* clips, int num_clips, Shape clip, float* features, int threads, double* seconds);

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
  std::vector<Block> blocks_;  // of all tensors, then of all steps
  long block_bytes_ = 0;
  std::vector<Memory> memories_;
  std::vector<Buffer<char>> scratch_;
};

inline void Graph::plan(Shape clip, int threads) {
  if (clip.frames == planned_.frames && clip.rows == planned_.rows && clip.columns == planned_.columns &&
      int(memories_.size()) == threads)
    return;
  planned_ = Shape{0, 0, 0};  // until all of it is there
  blocks_.clear(), memories_.clear(), scratch_.clear();
  long scratch = 0;
  for (const Tensor& tensor : tensors_)
    blocks_.push_back({tensor.written ? tensor.shape(clip).pixels() * tensor.pitch() * element_bytes() + 64 : 0,
                       tensor.made, tensor.last_used});
  for (const auto& step : steps_) {
    const long own = std::max(step->own_bytes(clip, 1), step->own_bytes(clip, threads));
    blocks_.push_back({own, step->index, step->index});
    scratch = std::max({scratch, step->scratch_bytes(clip, 1), step->scratch_bytes(clip, threads)});
  }
  block_bytes_ = lay_out(blocks_);
  memories_.resize(threads);
  scratch_.resize(threads);
  for (Buffer<char>& buffer : scratch_) buffer.resize(scratch);
  planned_ = clip;
}

inline Graph::Memory& Graph::memory(int thread) {
  Memory& memory = memories_[thread];
  if (memory.block.size() == 0) {
    memory.block.resize(block_bytes_);
    for (const Block& block : blocks_)
      (memory.maps.size() < tensors_.size() ? memory.maps : memory.own).push_back(memory.block.data() + block.begin);
  }
  return memory;
}

// As long as every thread can have a clip of its own, it has; the rest are walked by all threads together.
inline void Graph::run(const float* clips, int num_clips, Shape clip, float* features, int threads,
                     double* seconds) {
  const std::lock_guard<std::mutex> alone(running_);
  plan(clip, threads);
  const long pixels = 3 * clip.pixels();
  const Tensor& last = tensors_.back();
  const long cells = last.shape(clip).pixels() * last.pitch();
  const int apart = num_clips / threads * threads;
  for (int thread = 0; thread < (apart ? threads : 1); ++thread) memory(thread);
  Team all(threads);
  std::atomic<int> next{0};
  auto walk = [&](Team& team, int member, int n, int where, int thread) {
    const Memory& memory = memories_[where];
    const Walk walk{team, member, clip, clips + n * pixels, features + n * cells, memory.maps, memory.own,
                    scratch_[thread].data()};
    for (const auto& step : steps_) {
      const double begun = seconds && thread == 0 ? cpu_seconds() : 0;
      step->run(walk);
      if (seconds && thread == 0) seconds[step->index] += cpu_seconds() - begun;
    }
  };
  auto work = [&](int thread) {
    Team one(1);
    for (int n; (n = next.fetch_add(1)) < apart;) walk(one, 0, n, thread, thread);
    if (apart < num_clips) all.wait();
    for (int n = apart; n < num_clips; ++n) walk(all, thread, n, 0, thread);
  };
  enum { WAIT, GO, GIVE_UP };
  std::atomic<int> word{WAIT};
  std::vector<std::thread> others;
  const auto end = [&](int said) {
    word = said;
    if (said == GO) work(0);
    for (std::thread& other : others) other.join();
  };
  try {
    for (int thread = 1; thread < threads; ++thread)
      others.emplace_back([&, thread] {
        while (word == WAIT) std::this_thread::yield();
        if (word == GO) work(thread);
      });
  } catch (...) {  // no more threads are to be had, and each waits for all
    end(GIVE_UP);
    throw;
  }
  end(GO);
}

}  // namespace vov3d
