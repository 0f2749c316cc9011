"""Damaged videos made by seed, and a look at what the decoder makes of them from a process that may die of it.

A mutation is known by the file it spoils and a seed: `mutated(originals, name, seed)` makes its bytes again.
"""

from __future__ import annotations

import math
import multiprocessing
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np

from tests.data.video_files import Recording, number_of
from vov3d.data import timeline
from vov3d.data.video import Decoder, open_video
from vov3d.errors import DecodeError

NUM_FRAMES = 24
LIMIT_SECONDS = 10.0
LIMIT_MIB = 1024  # that one file may add to the memory of the process
MAX_FRAMES_READ = 200
MAX_PIXELS_READ = 1 << 20  # larger pictures are read at a small size
MIN_SURE = 8  # frames at the end of a cut file whose order the cut may have disturbed

SMALL = {"num_frames": NUM_FRAMES, "size": (32, 64), "keyframe_every": 8}
OPEN_GOP = {"x264-params": "open-gop=1:bframes=3:keyint=8:b-pyramid=normal"}
SOURCES = (
    Recording("h264.mp4", b_frames=2, **SMALL),
    Recording("h264_open.mkv", options=OPEN_GOP, **SMALL),
    Recording("h264_open.ts", options=OPEN_GOP, container="mpegts", **SMALL),
    Recording("h264.mov", options=OPEN_GOP, **SMALL),
    Recording("h264.flv", b_frames=2, **SMALL),
    Recording("h264.h264", b_frames=2, container="h264", **SMALL),
    Recording("hevc.mp4", "libx265", options={"x265-params": "keyint=8:bframes=3:open-gop=1:log-level=none"}, **SMALL),
    Recording("hevc.mkv", "libx265", options={"x265-params": "keyint=8:bframes=2:log-level=none"}, **SMALL),
    Recording("vp8.webm", "libvpx", options={"deadline": "realtime", "cpu-used": "8"}, **SMALL),
    Recording("vp9.webm", "libvpx-vp9", options={"auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}, **SMALL),
    Recording("av1.mkv", "libsvtav1", options={"preset": "12", "svtav1-params": "keyint=8"}, **SMALL),
    Recording("av1.mp4", "libsvtav1", options={"preset": "12", "svtav1-params": "keyint=8"}, **SMALL),
    Recording("mpeg4.avi", "mpeg4", **SMALL),
    Recording("mpeg4_b.avi", "mpeg4", b_frames=2, **SMALL),
    Recording("mpeg4_b.mp4", "mpeg4", b_frames=2, **SMALL),
    Recording("mpeg2.mpg", "mpeg2video", b_frames=2, container="mpeg", **SMALL),
    Recording("mpeg2.ts", "mpeg2video", b_frames=2, container="mpegts", **SMALL),
    Recording("mjpeg.avi", "mjpeg", pixel_format="yuvj420p", **SMALL),
    Recording("mjpeg.mov", "mjpeg", pixel_format="yuvj420p", **SMALL),
    Recording("prores.mov", "prores_ks", pixel_format="yuv422p10le", **SMALL),
    Recording("ffv1.mkv", "ffv1", pixel_format="bgr0", **SMALL),
    Recording("wmv2.wmv", "wmv2", **SMALL),
    Recording("picture.gif", "gif", pixel_format="rgb8", **SMALL),
)

Mutation = Callable[[bytes, "np.random.Generator"], bytes]


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file up to a random place."""
    return data[: int(rng.integers(1, len(data)))]


def without_tail(data: bytes, rng: np.random.Generator) -> bytes:
    """The file without its last few bytes."""
    return data[: -int(rng.integers(1, 64))]


def few_bits_flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to five bits are wrong."""
    return _flipped(data, rng, int(rng.integers(1, 6)))


def many_bits_flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to one bit in a hundred is wrong."""
    return _flipped(data, rng, 1 + int(len(data) * 8 * 10 ** rng.uniform(-4, -2)))


def zero_filled(data: bytes, rng: np.random.Generator) -> bytes:
    """A range of the file was never written."""
    place, length = int(rng.integers(len(data))), int(rng.integers(1, max(2, len(data) // 3)))
    return data[:place] + bytes(len(data[place : place + length])) + data[place + length :]


def header_overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """The first bytes are noise."""
    length = int(rng.integers(1, 200))
    return rng.bytes(length) + data[length:]


def absurd_numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """A few fields of 16 or 32 bits near the begin or the end of the file hold a very large number."""
    spoilt = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(min(1500, len(data) - 4)))
        place = place if rng.integers(2) else len(data) - 4 - place
        number = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x3f\xff", b"\xff\xff", b"\x00\x7f\xff\xff")
        chosen = number[int(rng.integers(len(number)))]
        spoilt[place : place + len(chosen)] = chosen
    return bytes(spoilt)


def chunks_swapped(data: bytes, rng: np.random.Generator) -> bytes:
    """Two pieces of the file stand in each other's place."""
    a, b, c, d = sorted(int(place) for place in rng.integers(len(data), size=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def chunk_repeated(data: bytes, rng: np.random.Generator) -> bytes:
    """A piece of the file comes twice."""
    a, b = sorted(int(place) for place in rng.integers(len(data), size=2))
    return data[:b] + data[a:]


def chunk_missing(data: bytes, rng: np.random.Generator) -> bytes:
    """A piece of the file is missing."""
    place = int(rng.integers(len(data)))
    return data[:place] + data[place + int(rng.integers(1, 3000)) :]


def garbage_appended(data: bytes, rng: np.random.Generator) -> bytes:
    """Noise or zeros follow the file."""
    length = int(rng.integers(1, 5000))
    return data + (rng.bytes(length) if rng.integers(2) else bytes(length))


MUTATIONS: tuple[Mutation, ...] = (
    *(truncated, without_tail, few_bits_flipped, many_bits_flipped, zero_filled, header_overwritten, absurd_numbers),
    *(chunks_swapped, chunk_repeated, chunk_missing, garbage_appended),
)
NUM_KINDS = len(MUTATIONS) + 1  # and the header of another file


def _flipped(data: bytes, rng: np.random.Generator, how_many: int) -> bytes:
    spoilt = bytearray(data)
    for bit in rng.integers(0, 8 * len(data), how_many):
        spoilt[bit // 8] ^= 1 << int(bit % 8)
    return bytes(spoilt)


def write_sources(folder: Path) -> dict[str, bytes]:
    """Write every source video; their bytes by name."""
    return {source.name: source.write(folder).read_bytes() for source in SOURCES}


def kind(seed: int) -> str:
    """What the mutation with this seed does."""
    place = seed % NUM_KINDS
    return MUTATIONS[place].__name__ if place < len(MUTATIONS) else "foreign_header"


def mutated(originals: dict[str, bytes], name: str, seed: int) -> bytes:
    """The bytes of one mutation."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    data = originals[name]
    if kind(seed) != "foreign_header":
        return MUTATIONS[seed % NUM_KINDS](data, rng)
    other = originals[sorted(originals)[int(rng.integers(len(originals)))]]
    length = int(rng.integers(4, 600))
    return other[:length] + data[length * int(rng.integers(2)) :]


class WrongFrameError(AssertionError):
    """A frame is not the one that was asked for."""


def examine(path: Path, name: str, what: str, seed: int) -> str:
    """Ask for frames in many ways; they must be the same each time.

    Returns:
        "whole", "partial" (some frames decode) or "refused" (not one does); anything but a `DecodeError` is raised.
    """
    rng = np.random.default_rng(seed)
    try:
        with open_video(path) as video:
            info = video.info
    except DecodeError as error:
        if "\n" in str(error):
            raise AssertionError(f"not one line: {error}") from error
        return "refused"
    if not (info.num_frames >= 1 and math.isfinite(info.fps) and info.fps > 0 and info.duration_seconds > 0):
        raise AssertionError(f"{info}")
    last = min(info.num_frames, MAX_FRAMES_READ) - 1
    size = None if info.height * info.width <= MAX_PIXELS_READ else (24, 32)
    everything = list(range(last + 1))
    spread = np.linspace(0, last, 16).astype(int).tolist()
    mixed = rng.integers(0, last + 1, 12).tolist()
    singles = [[int(number)] for number in rng.permutation(everything)[:16]]
    seen: dict[int, np.ndarray] = {}
    whole = True
    ways = ([everything], [[last], [last // 2], [0]], [spread], [mixed], [mixed[:4], mixed, [0]], singles)
    for place, asked in enumerate(ways):
        kept = 0 if place % 2 else timeline.MAX_KEPT_BYTES  # as of a short video, or a long one
        with mock.patch.object(timeline, "MAX_KEPT_BYTES", kept), open_video(path) as video:
            for numbers in asked:
                whole = _compare(video, numbers, size, seen) and whole
    with open_video(path) as video:
        _compare(video, mixed[:3], (40, 24), {})
    _check_numbers(seen, name, what)
    return ("whole" if whole else "partial") if seen else "refused"


def _compare(video: Decoder, numbers: list[int], size: tuple[int, int] | None, seen: dict[int, np.ndarray]) -> bool:
    """Ask for some frames, which must be those seen before; whether they came."""
    try:
        frames = video.frames(numbers, size)
    except DecodeError as error:
        if "\n" in str(error):
            raise AssertionError(f"not one line: {error}") from error
        return False
    height, width = size or (video.info.height, video.info.width)
    if frames.shape != (len(numbers), 3, height, width):
        raise AssertionError(f"{tuple(frames.shape)} for {len(numbers)} frames of {height} x {width}")
    for number, frame in zip(numbers, frames.permute(0, 2, 3, 1).numpy(), strict=True):
        if not np.array_equal(seen.setdefault(number, frame.copy()), frame):
            raise WrongFrameError(f"frame {number} of {numbers} is another one than before")
    return True


def _check_numbers(seen: dict[int, np.ndarray], name: str, what: str) -> None:
    """Where the damage leaves frames alone, each must show its own number."""
    if what == "garbage_appended" and not name.endswith((".h264", ".mpg", ".ts")):  # noise may look like video there
        sure = len(seen)
    elif what in ("truncated", "without_tail", "garbage_appended"):
        sure = max(seen, default=0) + 1 - MIN_SURE
    else:
        return
    for number, picture in seen.items():
        if number < sure and number_of(picture) != number:
            raise WrongFrameError(f"frame {number} shows {number_of(picture)}")


@dataclass(frozen=True)
class Result:
    """What came of one mutation: an outcome of `examine`, or what went wrong."""

    name: str
    seed: int
    outcome: str
    seconds: float
    peak_mib: float

    @property
    def is_failure(self) -> bool:
        return self.outcome not in ("whole", "partial", "refused")

    def __str__(self) -> str:
        return (
            f"{self.name} {self.seed} {kind(self.seed)}: {self.outcome} ({self.seconds:.2f} s, {self.peak_mib:.0f} MiB)"
        )


def peak_mib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_mib() -> float:
    """The memory that this process holds now; what it ever held where the system does not say."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20 if pages.exists() else peak_mib()


def run(originals: dict[str, bytes], cases: Sequence[tuple[str, int]], folder: Path) -> Iterator[Result]:
    """Examine mutations in a child process; where it dies or hangs, another one goes on after that case."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    done = 0
    while done < len(cases):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_examine_all, args=(originals, cases[done:], folder, there), daemon=True)
        child.start()
        there.close()
        for name, seed in cases[done:]:
            done += 1
            try:
                answer = here.recv() if here.poll(LIMIT_SECONDS) else None
            except EOFError:
                child.join()
                yield Result(name, seed, f"died with exit code {child.exitcode}", 0.0, 0.0)
                break
            if answer is None:
                yield Result(name, seed, "hangs", LIMIT_SECONDS, 0.0)
                break
            yield Result(name, seed, *answer)
        child.kill()
        child.join()
        here.close()


def _examine_all(originals: dict[str, bytes], cases: Sequence[tuple[str, int]], folder: Path, out: Connection) -> None:
    for name, seed in cases:
        path = folder / f"mutated{Path(name).suffix}"
        path.write_bytes(mutated(originals, name, seed))
        begin, before = time.perf_counter(), peak_mib()
        try:
            outcome = examine(path, name, kind(seed), seed)
        except Exception as error:  # noqa: BLE001 - any kind is a finding
            outcome = f"{type(error).__name__}: {error}"
        grown = peak_mib() - before
        if grown > LIMIT_MIB:
            outcome = f"takes {grown:.0f} MiB"
        out.send((outcome, time.perf_counter() - begin, grown))


def table(results: Sequence[Result]) -> str:
    """Outcomes by source."""
    names = sorted({result.name for result in results})
    lines = [f"{'file':16} {'whole':>8} {'partial':>8} {'refused':>8} {'failed':>8} slowest s"]
    for name in names:
        own = [result for result in results if result.name == name]
        counts = Counter("failed" if result.is_failure else result.outcome for result in own)
        slowest = max(result.seconds for result in own)
        numbers = " ".join(f"{counts[outcome]:8}" for outcome in ("whole", "partial", "refused", "failed"))
        lines.append(f"{name:16} {numbers} {slowest:9.2f}")
    return "\n".join(lines)
