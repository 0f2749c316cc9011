// A pointwise convolution of one or more maps, with the sum of a block around it.
#pragma once
#include "step.h"

namespace vov3d {

// Writes sums as a map [pixel][channels]: shortcut, ReLU.
template <class P, class Element>
struct MapWriter {
  Element* map;
  const typename P::Element* shortcut;  // or null
  int pitch;
  bool rectified;

  void operator()(long pixel, int panel, Vector sum) const {
    const Mask lanes = first_lanes(pitch - panel * LANES);
    Vector x = sum;
    const long at = pixel * pitch + panel * LANES;
    if (shortcut) x += load(shortcut + at, lanes);
    if (rectified) x = relu(x);
    store(map + at, x, lanes);
  }
};

template <class P>
struct Pointwise : Step {
  using Element = typename P::Element;
  Panels<P> panels;
  std::vector<Tensor> from;
  Tensor to;
  int stride, shortcut;
  bool rectified, last;

  Pointwise(Panels<P> panels_, std::vector<Tensor> from_, Tensor to_, int stride_, int shortcut_, bool rectified_,
            bool last_)
      : panels(std::move(panels_)), from(std::move(from_)), to(to_), stride(stride_), shortcut(shortcut_),
        rectified(rectified_), last(last_) {}

  void run(const Walk& walk) const override {
    if (last)
      write(walk, walk.features);
    else
      write(walk, reinterpret_cast<Element*>(walk.maps[output]));
  }

 private:
  template <class Out>
  void write(const Walk& walk, Out* map) const {
    const Shape out = to.shape(walk.clip);
    const auto task = [&](long first, long pixels) {
      const MapWriter<P, Out> writer{map + first * to.pitch(), beside(walk, first), to.pitch(), rectified};
      const std::vector<Source> read = sources(walk, first);
      if (stride == 1) {  // the next chunk comes while this one is computed
        for (const Source& source : read) fetch(source.data + pixels * source.pitch, pixels * source.pitch);
        if (shortcut >= 0) fetch(writer.shortcut + pixels * to.pitch(), pixels * to.pitch() * long(sizeof(Element)));
      }
      multiply<P>(panels, read, pixels, 0, panels.count, writer);
    };
    stride == 1 ? share_pixels(walk, out, CHUNK, task) : share_rows(walk, out, task);
  }

  const Element* beside(const Walk& walk, long first) const {
    return shortcut < 0 ? nullptr : reinterpret_cast<Element*>(walk.maps[shortcut]) + first * to.pitch();
  }

  std::vector<Source> sources(const Walk& walk, long first) const {
    std::vector<Source> sources;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const Shape in = from[i].shape(walk.clip), out = in.strided(stride);
      const long row = first / out.columns, frame = row / out.rows;
      const long begin = stride == 1 ? first : (frame * in.rows + row % out.rows * stride) * in.columns;
      const long pitch = from[i].pitch() * long(sizeof(Element));
      sources.push_back({walk.maps[inputs[i]] + begin * pitch, stride * pitch,
                         int(rounded_up(from[i].channels, P::PER_WORD) / P::PER_WORD)});
    }
    return sources;
  }
};

}  // namespace vov3d
