"""From a file to an answer: many views of each video, against a loop that takes one view after another.

    python benchmarks/from_file.py [--threads 2]

The loop is what a user would write: for each view it opens the video, decodes up to its last frame, resizes, crops and
normalises, and computes a batch of one with the plain modules. `predict` decodes each frame once, ahead of the network,
and computes eight views at once; as on the command line, freed memory is kept.

Beside it, what it saves that H.264 packets whose frames nobody asked for never reach the decoder.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import av
import torch
from harness import Row, Variant, in_shares, interleave, parser, remaining, write_results
from made_videos import KINDS, write_video
from networks import as_plain, network
from torch import Tensor
from torch.nn import functional as F

from vov3d.bound import Clock
from vov3d.build import head_window
from vov3d.compare.workers import Ready
from vov3d.data.pyav import PyAVDecoder
from vov3d.data.sampling import dense_clips
from vov3d.data.transforms import crop_offsets, short_side_size
from vov3d.data.video import VideoInfo, open_video
from vov3d.models import ClipClassifier
from vov3d.optimize import Precision, optimize
from vov3d.predict import VideoClassifier
from vov3d.recipe import Recipe, load_recipe
from vov3d.trained import Trained

MODEL = "vov3d_m"
ENCODED = {
    "B-frames, some of use": {"crf": "24", "preset": "medium"},
    "B-frames, none of use": {"crf": "24", "preset": "medium", "x264-params": "b-pyramid=none"},
    "no B-frames": {"crf": "24", "preset": "medium", "x264-params": "bframes=0"},
}
"""How H.264 is encoded -> options of the encoder. Packets are of no use to others in B-frames alone."""


@dataclass(frozen=True)
class Test:
    """How each video is shown: 16 frames, 5 apart, of 256 pixels, as the paper tests on Kinetics."""

    clips: int
    crops: int

    @property
    def recipe(self) -> Recipe:
        """The experiment whose test it is."""
        recipe = load_recipe(f"k400/{MODEL}_16")
        return replace(recipe, test=replace(recipe.test, num_clips=self.clips, num_crops=self.crops))


def view(path: Path, frames: list[int], size: tuple[int, int], corner: tuple[int, int], recipe: Recipe) -> Tensor:
    """One view by itself, float32 [1, 3, T, crop, crop]."""
    pictures: dict[int, Tensor] = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in frames:
                pictures[number] = torch.from_numpy(frame.to_ndarray(format="rgb24"))
            if number == frames[-1]:
                break
    clip = torch.stack([pictures[number] for number in frames]).permute(3, 0, 1, 2).float() / 255
    clip = (F.interpolate(clip, size, mode="bilinear") - recipe.clip.mean) / recipe.clip.std
    (y, x), crop = corner, recipe.test.crop
    return clip[None, ..., y : y + crop, x : x + crop]


def answer_in_turn(path: Path, info: VideoInfo, model: ClipClassifier, recipe: Recipe) -> Tensor:
    """The probabilities of a video, one view after another."""
    clip, test = recipe.clip, recipe.test
    size = short_side_size(info.height, info.width, test.crop)
    window, probs = head_window(recipe), []
    assert window is not None
    for frames in dense_clips(info.num_frames, info.fps, clip.num_frames, clip.frame_stride, test.num_clips).tolist():
        for corner in crop_offsets(*size, test.crop, test.num_crops):
            logits = model.position_logits(view(path, frames, size, corner, recipe), window)
            probs.append(logits.softmax(-1).mean(1))
    return torch.cat(probs).mean(0)


def loop(paths: list[Path], test: Test) -> Ready:
    """What a user would write."""
    model = as_plain(network(MODEL))
    infos = []
    for path in paths:
        with open_video(path) as video:
            infos.append(video.info)

    @torch.inference_mode()
    def run() -> None:
        for path, info in zip(paths, infos, strict=True):
            answer_in_turn(path, info, model, test.recipe)

    return Ready(run)


def predicted(paths: list[Path], test: Test, precision: Precision | None = None) -> Ready:
    """What vov3d does, and where its time goes; in a precision, with a network that was optimised."""
    model, example = network(MODEL), torch.zeros(1, 3, 16, test.recipe.test.crop, test.recipe.test.crop)
    trained = Trained(model, tuple(map(str, range(model.num_classes))), test.recipe)
    optimized = None if precision is None else optimize(model, example, precision)
    classifier = VideoClassifier(trained, torch.device("cpu"), optimized)
    clock = Clock(1)
    run = functools.partial(_all, classifier, paths)
    run(clock)
    bound = clock.bound()
    total = bound.waiting_seconds + bound.model_seconds
    return Ready(
        run,
        {
            "bounded_by": bound.stage,
            "decoding_share": bound.decoding_seconds / total,
            "waiting_share": bound.waiting_seconds / total,
        },
    )


def _all(classifier: VideoClassifier, paths: list[Path], clock: Clock | None = None) -> None:
    assert all(one.error is None for one in classifier.predict_each(paths, clock=clock))


def cell(test: Test, paths: list[Path], threads: int, seconds: float) -> list[Row]:
    """One kind of test in every way; the first is the loop."""
    what: Row = {"model": MODEL, "views": test.clips * test.crops, "videos": len(paths), "frames": 16, "crop": 256}
    fast = functools.partial(predicted, paths, test, "fp32")
    variants = [
        Variant({**what, "way": "loop"}, functools.partial(loop, paths, test), threads),
        Variant({**what, "way": "predict"}, functools.partial(predicted, paths, test), threads, True),
        Variant({**what, "way": "predict --fast fp32"}, fast, threads, True),
    ]
    return interleave(variants, seconds, min_rounds=2)


# ---- packets ---------------------------------------------------------------------------------------------------------


class AllDecoded(PyAVDecoder):
    """The decoder as it would be if every packet between two frames that are wanted had to be decoded."""

    @property
    def _kept(self) -> set[int]:
        return set()

    @_kept.setter
    def _kept(self, _wanted: set[int]) -> None:
        """Skip nothing, whatever is wanted."""


def reading(path: Path, decoder: type[PyAVDecoder], step: int) -> Ready:
    """Open a video and decode every so many frames, resized as for the test."""

    def run() -> int:
        with decoder(path) as video:
            return len(video.frames(range(0, video.info.num_frames, step), (256, 340)))

    return Ready(run, {"frames": run()})


def packets(name: str, path: Path, seconds: float) -> list[Row]:
    """One video read in every way; the first decodes all to get every fourth frame."""
    ways = {
        "every fourth frame, all decoded": (AllDecoded, 4),
        "every fourth frame": (PyAVDecoder, 4),
        "all frames": (PyAVDecoder, 1),
    }
    rows = {way: {"video": name, "way": way} for way in ways}
    return interleave([Variant(rows[way], functools.partial(reading, path, *ways[way])) for way in ways], seconds)


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 65, (2,)).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, (short, long) = Path(name), (Test(1, 1), Test(10, 3))
        made = [write_video(KINDS[0], folder / f"{seed}{KINDS[0].suffix}", seed) for seed in range(3)]
        read = []
        encoded = ENCODED if not args.quick else {}
        for title, options in encoded.items():
            read += packets(title, write_video(replace(KINDS[0], seconds=4, options=options), folder / "p.mp4"), 3)
        cells = {
            (test, threads): 1.0 if test is short else 4.0
            for test in ((short,) if args.quick else (long, short))
            for threads in args.threads
        }
        rows = [
            row
            for (test, threads), seconds in in_shares(cells, remaining(args.seconds))
            for row in cell(test, made if test is short else made[:1], threads, seconds)
        ]
    write_results("from-file", rows, args.out, video=KINDS[0].name)
    if read:
        write_results("packets", read, args.out)


if __name__ == "__main__":
    main()
