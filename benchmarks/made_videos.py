"""Videos for benchmarks, made on the spot: textures that move over one another, with grain, a pan and a cut.

The codecs, groups of pictures and bit rates are those of the data sets they stand for; the pictures belong to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from torch import Generator, randn, zeros
from torch.nn import functional as F

Picture = npt.NDArray[np.uint8]

GRAIN = 3.0  # standard deviation of the noise of the sensor, in grey levels
ROUGHNESS = 0.5  # how slowly detail fades as it becomes finer; lower is rougher
CUT_SECONDS = 5.0


@dataclass(frozen=True)
class Kind:
    """One kind of video file: what it is called, how large and long it is, and how it is encoded."""

    name: str
    suffix: str
    height: int
    width: int
    seconds: float
    fps: int
    codec: str
    options: dict[str, str] = field(default_factory=dict)


KINDS = (
    Kind("kinetics", ".mp4", 256, 340, 10, 30, "libx264", {"crf": "24", "preset": "medium"}),
    Kind("ssv2", ".webm", 240, 427, 4, 12, "libvpx-vp9", {"crf": "36", "b": "0", "cpu-used": "4", "row-mt": "0"}),
    Kind("1080p", ".mp4", 1080, 1920, 10, 30, "libx264", {"crf": "23", "preset": "veryfast"}),
)


def write_video(kind: Kind, path: Path, seed: int = 0, keyframe_every: int | None = None) -> Path:
    """Write one video of a kind.

    Args:
        kind: how it is made.
        path: the file.
        seed: of the pictures.
        keyframe_every: frames from one keyframe to the next at most; by default what the encoder does (250 for H.264).
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream(kind.codec, rate=kind.fps, options=kind.options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = kind.height, kind.width, "yuv420p"
        stream.codec_context.thread_count = 1
        if keyframe_every is not None:
            stream.gop_size = keyframe_every
        for picture in pictures(kind, seed):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def pictures(kind: Kind, seed: int) -> Iterator[Picture]:
    """The frames: a panned background, three things that cross it, and grain; another scene after the cut."""
    rng = np.random.default_rng(seed)
    height, width = kind.height, kind.width
    noise = np.round(rng.normal(0, GRAIN, (2 * height, 2 * width, 1))).astype(np.int16)
    side = height // 2
    y, x = np.mgrid[:side, :side] / side - 0.5
    for number in range(round(kind.seconds * kind.fps)):
        time = number / kind.fps
        if time % CUT_SECONDS == 0:
            background = _texture(2 * height, 2 * width, rng)
            things, ways = [_texture(side, side, rng) for _ in range(3)], rng.uniform(-3, 3, (3, 4))
        pan = np.array([height, width]) / 2 * (1 + 0.6 * np.sin(0.7 * time + np.array([0.0, 1.0])))
        scene = _window(background, pan, height, width).copy()
        for thing, (row, column, down, right) in zip(things, ways, strict=True):
            corner = 0.5 + 0.5 * np.sin(np.array([down, right]) * time + np.array([row, column]))
            place = _window(scene, corner * [height - side, width - side], side, side)
            inside = y**2 + x**2 < 0.2 + 0.05 * np.sin(2 * time + row)
            place[inside] = thing[inside]
        scene += _window(noise, rng.integers(0, (height, width)), height, width)
        yield np.clip(scene, 0, 255, out=scene).astype(np.uint8)


def _texture(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Coloured noise that is stronger the coarser it is, as photographs are; [H, W, 3] in grey levels."""
    generator = Generator().manual_seed(int(rng.integers(2**31)))
    total = zeros(1, 3, height, width)
    cells = 4
    while cells <= height:
        layer = randn(1, 3, cells, max(cells * width // height, 1), generator=generator)
        layer = layer.mean(1, keepdim=True) + 0.3 * layer  # most detail is in the brightness
        total += F.interpolate(layer, (height, width), mode="bicubic") * cells**-ROUGHNESS
        cells *= 2
    texture = total[0].permute(1, 2, 0).numpy()
    levels: npt.NDArray[np.float32] = 128 + 50 * texture / texture.std()
    return np.clip(levels, 0, 255).astype(np.int16)


def _window(picture: npt.NDArray[np.int16], corner: Iterable[float], height: int, width: int) -> npt.NDArray[np.int16]:
    top, left = (int(part) for part in corner)
    return picture[top : top + height, left : left + width]
