// Threads that walk one clip together. All of them run the same code; `share` deals out the tasks of a step and returns
// in every member when the last task is done. Threads live as long as one forward pass: nothing waits between passes.
#pragma once
#include <immintrin.h>

#include <atomic>
#include <thread>

namespace vov3d {

class Team {
 public:
  explicit Team(int size) : size_(size) {}

  int size() const { return size_; }

  template <class Task>
  void share(int tasks, const Task& task) {
    if (size_ == 1) {
      for (int i = 0; i < tasks; ++i) task(i);
      return;
    }
    for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i);
    wait();
  }

  void wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int turn = 0; round_.load(std::memory_order_acquire) == round; ++turn)
      turn < PATIENCE ? _mm_pause() : std::this_thread::yield();
  }

 private:
  static constexpr int PATIENCE = 2000;
  const int size_;
  std::atomic<int> next_{0}, arrived_{0}, round_{0};
};

}  // namespace vov3d
