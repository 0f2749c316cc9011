// Threads that walk one clip together. All of them run the same code; `share` deals out the tasks of a step and returns
// in every member when the last task is done. Threads live as long as one forward pass: nothing waits between passes.
//
// Each member begins with the tasks that are its own, then helps the others. Steps that cut a map in the same way thus
// leave each part of it to the same core, which has it in its cache.
#pragma once
#include <immintrin.h>

#include <atomic>
#include <memory>
#include <thread>

namespace vov3d {

class Team {
 public:
  explicit Team(int size) : size_(size), taken_(new Counter[size]) {}

  int size() const { return size_; }

  template <class Task>
  void share(int member, int tasks, const Task& task) {
    if (size_ == 1) {
      for (int i = 0; i < tasks; ++i) task(i);
      return;
    }
    for (int turn = 0; turn < size_; ++turn) {
      const int owner = (member + turn) % size_;
      const int begin = first_of(owner, tasks), end = first_of(owner + 1, tasks);
      for (int i; (i = begin + taken_[owner].value.fetch_add(1, std::memory_order_relaxed)) < end;) task(i);
    }
    wait();
  }

  void wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      for (int member = 0; member < size_; ++member) taken_[member].value.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int turn = 0; round_.load(std::memory_order_acquire) == round; ++turn)
      turn < PATIENCE ? _mm_pause() : std::this_thread::yield();
  }

 private:
  static constexpr int PATIENCE = 2000;
  struct alignas(64) Counter {
    std::atomic<int> value{0};
  };

  int first_of(int member, int tasks) const { return int(long(tasks) * member / size_); }

  const int size_;
  const std::unique_ptr<Counter[]> taken_;  // of each member's tasks
  std::atomic<int> arrived_{0}, round_{0};
};

}  // namespace vov3d
