// What a network is made of, and what a thread sees on its way through it.
#pragma once
#include <memory>
#include <vector>

#include "memory.h"
#include "plan.h"
#include "pointwise.h"
#include "team.h"

namespace vov3d {

// Memory of one thread that a task takes piece by piece.
class Scratch {
 public:
  explicit Scratch(char* at) : at_(at) {}

  template <class T>
  T* take(long count) {
    T* piece = reinterpret_cast<T*>(at_);
    at_ += rounded_up(count * long(sizeof(T)), 64) + 64;
    return piece;
  }

 private:
  char* at_;
};

// One thread's walk of one clip.
struct Walk {
  Team& team;
  int member;
  Shape clip;
  const float* pixels;           // [3][T][H][W]
  float* features;               // [T][H'][W'][C], of the last step
  const std::vector<char*>& maps;  // where each tensor lies
  const std::vector<char*>& own;   // where each step's own memory lies
  char* scratch;

  template <class Task>
  void share(int tasks, const Task& task) const {
    team.share(member, tasks, task);
  }
};

// Some rows of a map of all frames: [frame][row][column], the rows from `first` on.
struct Strip {
  char* data;
  int first, rows;

  long pixel(int frame, int row, int columns) const { return (long(frame) * rows + row - first) * columns; }
};

struct Step {
  virtual ~Step() = default;
  // What it needs if so many threads walk a clip together.
  virtual long own_bytes(Shape, int) const { return 0; }
  virtual long scratch_bytes(Shape, int) const { return 0; }
  virtual void run(const Walk&) const = 0;

  std::vector<int> inputs;
  int index = 0, output = 0;
};

// A step that a later one computes on its way.
struct Within : Step {
  void run(const Walk&) const override {}
};

constexpr long parts_of(long whole, long part) { return (whole + part - 1) / part; }

// Hands out pixels, so many at a time at most, and to every thread as many.
template <class Task>
void share_evenly(const Walk& walk, long pixels, long most, const Task& task) {
  const long tasks = rounded_up(parts_of(pixels, most), walk.team.size()), each = parts_of(pixels, tasks);
  walk.share(int(parts_of(pixels, each)), [&](int i) { task(i * each, std::min(each, pixels - i * each)); });
}

// A map whose frames are not cut into rows.
inline bool is_small(Shape map) { return map.frame() <= 400; }

inline int bands_of(Shape map, const Team& team) { return is_small(map) ? 1 : team.size(); }

// Hands out the pixels of a map band by band, as units cut it into rows, frame by frame, and so many at a time at most:
// task(first, count).
template <class Task>
void share_bands(const Walk& walk, Shape map, long most, const Task& task) {
  const int bands = bands_of(map, walk.team);
  const long pieces = parts_of(parts_of(map.rows, bands) * map.columns, most);
  walk.share(int(bands * map.frames * pieces), [&](int i) {
    const long band = i / pieces / map.frames, frame = i / pieces % map.frames, piece = i % pieces;
    const long begin = map.rows * band / bands * map.columns + piece * most;
    const long end = std::min(begin + most, map.rows * (band + 1) / bands * map.columns);
    if (begin < end) task(frame * map.frame() + begin, end - begin);
  });
}

template <class Task>
void share_pixels(const Walk& walk, Shape map, long most, const Task& task) {
  bands_of(map, walk.team) == 1 ? share_evenly(walk, map.pixels(), most, task) : share_bands(walk, map, most, task);
}

// Row by row, for rows that do not lie one behind the other.
template <class Task>
void share_rows(const Walk& walk, Shape map, const Task& task) {
  share_bands(walk, map, map.columns, task);
}

constexpr int CHUNK = 126;  // pixels of a task; most tiles divide it

}  // namespace vov3d
