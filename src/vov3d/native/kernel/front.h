// The stem, and the projected shortcut beside the first unit: computed for the rows of one tile of that unit at a time,
// so that the largest map of the network is never written.
#pragma once
#include "convolution.h"
#include "stem.h"

namespace vov3d {

template <class P>
struct Front {
  using Element = typename P::Element;
  Stem<P> stem;
  Panels<P> project;
  Tensor shortcut;
  int shortcut_map;

  long scratch_bytes(Shape clip, int rows) const { return strip_bytes(clip, rows) + stem.scratch_bytes(clip) + 128; }

  // Rows `first` to `last` of the stem's map.
  Strip rows(const Walk& walk, int first, int last, Scratch& scratch) const {
    const Strip strip{scratch.take<char>(strip_bytes(walk.clip, last - first)), first, last - first};
    stem.walk_rows(walk, first, last, strip, scratch);
    return strip;
  }

  // The shortcut's rows `first` to `last`, from the stem's.
  void write_shortcut(const Walk& walk, const Strip& strip, int first, int last) const {
    const Shape in = walk.clip.strided(2), out = in.strided(2);
    const long pitch = stem.to.pitch() * long(sizeof(Element));
    for (int frame = 0; frame < out.frames; ++frame)
      for (int row = first; row < last; ++row) {
        const std::vector<Source> source{{strip.data + strip.pixel(frame, 2 * row, in.columns) * pitch, 2 * pitch,
                                          int(rounded_up(stem.to.channels, P::PER_WORD) / P::PER_WORD)}};
        Element* map = reinterpret_cast<Element*>(walk.maps[shortcut_map]) +
                       (frame * out.frame() + long(row) * out.columns) * shortcut.pitch();
        const MapWriter<P, Element> writer{map, nullptr, shortcut.pitch(), false};
        multiply<P>(project, source, out.columns, 0, project.count, writer);
      }
  }

 private:
  long strip_bytes(Shape clip, int rows) const {
    const Shape map = clip.strided(2);
    return long(map.frames) * rows * map.columns * stem.to.pitch() * long(sizeof(Element)) + 64;
  }
};

}  // namespace vov3d
