"""The built-in motion set: drawn videos whose classes differ in nothing but motion.

Every video shows one actor among distractors on a textured ground, filmed by a camera that sways. There are no edges:
what leaves the frame on one side comes in on the other. The class says only how the actor changes over time.
A seed gives every class the same scene: a written set shows each scene once in each class, and to know the scenes by
heart is no help. Train, val and test share no seed, no outline and no texture.

The actor's state has five coordinates (across, down, size, angle, hue), each of them a circle, so that states lie on a
torus. A video is ``start + path``: the start is uniform on the torus, the path belongs to the class, and both are drawn
independently of all else that is seen. Three statements follow, whatever the seed and the difficulty:

1. *No single frame tells the class, of any of the classes.* A uniform state plus any step is a uniform state. At every
   frame the actor's state is therefore uniform and independent of the rest of the frame, in every class alike.
2. *No unordered set of frames tells which class of an order pair it is.* The second class of each pair in
   ``ORDER_PAIRS`` has the path of the first backwards (left and right, both senses of a rotation or of an outline,
   approach and recede, both orders of two events, speeding up and slowing down), or half a video later (there and back:
   out becomes back). All the rest (camera, distractors) moves on closed curves with uniform phases, whose law is the
   same backwards and from any other frame on. The second class thus has the law of the first with its frames in another
   order. This is exact for the set of all frames, and for every sample of them whose law bears the same change of
   order, such as segment sampling.
3. *No unordered set of the actor's states tells slow from fast.* ``oscillate_fast`` runs through the very states of
   ``oscillate_slow``, every third one, three times around; so do the pairs of the family "tempo". They are not in
   ``ORDER_PAIRS`` because the distractors, which do not run faster, could serve as a clock; for a model to read that
   clock, it must first sort the frames. To nod once, twice and three times takes the same time in all.

Between families a set of frames does tell much (a set in which the size changes is of the family "depth" or "tempo"),
which is why chance for shuffled frames is one half within a pair. The number of frames is drawn independently of the
class, and the files code every frame alone, so that neither length nor codec says more than the drawing.

One renderer (``draw_clips``) draws both the files (``write_motion_set``) and batches on any device (``MotionBatches``),
from numbers that are hashes of a clip's seed.
"""

from vov3d.data.motion.batches import MotionBatches
from vov3d.data.motion.classes import (
    BASIC_FAMILIES,
    DIFFICULTIES,
    MOTION_CLASSES,
    MOTION_FAMILIES,
    MOTION_VERSION,
    ORDER_PAIRS,
    SPLITS,
    classes_of,
)
from vov3d.data.motion.draw import draw_clips, render
from vov3d.data.motion.write import MotionVideo, write_motion_set

__all__ = [
    "BASIC_FAMILIES",
    "DIFFICULTIES",
    "MOTION_CLASSES",
    "MOTION_FAMILIES",
    "MOTION_VERSION",
    "ORDER_PAIRS",
    "SPLITS",
    "MotionBatches",
    "MotionVideo",
    "classes_of",
    "draw_clips",
    "render",
    "write_motion_set",
]
