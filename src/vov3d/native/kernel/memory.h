// Memory that is aligned to cache lines, zeroed when it is made, and on huge pages as far as it fills them.
#pragma once
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace vov3d {

// Has memory that is read soon come into the second-level cache.
inline void fetch(const void* memory, long bytes) {
  const char* at = static_cast<const char*>(memory);
  for (const char* end = at + bytes; at < end; at += 64) __builtin_prefetch(at, 0, 2);
}

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_), std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  void resize(long size) {
    constexpr std::size_t HUGE_PAGE = 1 << 21;
    const std::size_t bytes = (size * sizeof(T) + 191) / 64 * 64;  // a vector may be read past the end
    const std::size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    std::free(data_);
    data_ = static_cast<T*>(std::aligned_alloc(alignment, bytes));
    if (!data_) throw std::bad_alloc();
    size_ = size;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE) madvise(data_, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    std::memset(static_cast<void*>(data_), 0, bytes);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  long size() const { return size_; }
  T& operator[](long index) { return data_[index]; }
  const T& operator[](long index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
  long size_ = 0;
};

}  // namespace vov3d
