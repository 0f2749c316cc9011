// Shapes of feature maps, and where they lie in one block of memory.
#pragma once
#include <algorithm>
#include <vector>

#include "precision.h"

namespace vov3d {

struct Shape {
  int frames, rows, columns;

  long frame() const { return long(rows) * columns; }
  long pixels() const { return frames * frame(); }
  Shape strided(int stride) const { return {frames, (rows + stride - 1) / stride, (columns + stride - 1) / stride}; }
};

// A feature map [T][H][W][channels]; channels are padded to `pitch`, padding holds zeros.
struct Tensor {
  int channels, halvings;
  bool written = true;          // or it is only ever there in part, within one step
  int made = 0, last_used = 0;  // steps

  int pitch() const { return int(rounded_up(channels, 4)); }
  Shape shape(Shape clip) const {
    for (int i = 0; i < halvings; ++i) clip = clip.strided(2);
    return clip;
  }
};

// Lays blocks of memory into the lowest gap that is free from the first to the last step that needs them.
class Layout {
 public:
  long place(long bytes, int from, int to) {
    bytes = rounded_up(bytes, 4096) + 64;  // not a multiple of a page, so that maps do not share cache sets
    std::vector<Block> beside;
    for (const Block& block : blocks_)
      if (block.from <= to && from <= block.to) beside.push_back(block);
    std::sort(beside.begin(), beside.end(), [](const Block& a, const Block& b) { return a.begin < b.begin; });
    long begin = 0;
    for (const Block& block : beside) {
      if (begin + bytes <= block.begin) break;
      begin = std::max(begin, block.end);
    }
    blocks_.push_back({begin, begin + bytes, from, to});
    size_ = std::max(size_, begin + bytes);
    return begin;
  }
  long size() const { return size_; }

 private:
  struct Block {
    long begin, end;
    int from, to;
  };
  std::vector<Block> blocks_;
  long size_ = 0;
};

}  // namespace vov3d
