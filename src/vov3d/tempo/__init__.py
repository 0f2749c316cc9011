"""``vov3d tempo CHECKPOINT ... --data PATH``: what is left of the accuracy when time passes at another pace.

Figure 4 of the paper, for any checkpoint and any data set, with controls. The same test views each time, but for one
thing:

* stride: a dense clip takes every k-th frame of a video at 30 frames per second, and not every one that the network was
  trained with. The frames of a clip of segments are spread over the whole video: there is no stride to change.
* speed: the video plays so many times as fast. A dense clip at speed 2 is one of twice the stride. A clip of segments
  at speed 0.5 is spread over the middle half of the video; at speed 2 it is through with the video in its first half,
  and then the last frame stays (`vov3d.data.sampling.segment_part`).
* reversed and shuffled: the frames of each clip in another order.
"""

from vov3d.tempo.results import NetworkTempo, Pace, Tempo, write_tempo
from vov3d.tempo.testing import ORDERS, SPEEDS, STRIDES, tempo

__all__ = ["ORDERS", "SPEEDS", "STRIDES", "NetworkTempo", "Pace", "Tempo", "tempo", "write_tempo"]
