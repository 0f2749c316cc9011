// Shapes of feature maps, and where they lie in one block of memory.
#pragma once
#include <algorithm>
#include <climits>
#include <random>
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

// A piece of memory that is needed from one step to another.
struct Block {
  long bytes;
  int from, to;
  long begin = 0;

  long end() const { return begin + bytes; }
};

// Lays blocks one by one into the lowest gap that is free while they are needed; returns the size of all.
inline long lay_out(const std::vector<Block*>& blocks) {
  std::vector<const Block*> laid;  // from the lowest on
  long size = 0;
  for (Block* block : blocks) {
    block->begin = 0;
    for (const Block* other : laid) {
      if (other->from > block->to || block->from > other->to) continue;
      if (block->end() <= other->begin) break;
      block->begin = std::max(block->begin, other->end());
    }
    const auto lower = [](const Block* a, const Block* b) { return a->begin < b->begin; };
    laid.insert(std::upper_bound(laid.begin(), laid.end(), block, lower), block);
    size = std::max(size, block->end());
  }
  return size;
}

// In the best of some random orders, which are the same each time.
inline long lay_out(std::vector<Block>& blocks) {
  constexpr int ORDERS = 32;
  std::vector<Block*> order, best;
  for (Block& block : blocks) {
    block.bytes = rounded_up(block.bytes, 4096) + 64;  // not a multiple of a page, so that maps share no cache sets
    order.push_back(&block);
  }
  std::mt19937 random;
  long least = LONG_MAX;
  for (int i = 0; i < ORDERS; ++i) {
    const long size = lay_out(order);
    if (size < least) least = size, best = order;
    std::shuffle(order.begin(), order.end(), random);
  }
  return lay_out(best);
}

}  // namespace vov3d
