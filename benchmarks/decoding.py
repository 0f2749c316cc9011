"""Clips a second and core from file to float tensor: ours, the whole file in order, JPEG frames, and the decoder alone.

python benchmarks/decoding.py [--cache] [--rounds 5] [--work DIR] makes the videos, prints tables and writes a file into
benchmarks/results. All times are of the processor, in interleaved rounds; one thread.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation
from harness import machine_facts, results_path
from made_videos import KINDS, Kind, write_video

from vov3d.data import pyav
from vov3d.data.cache import CRF, GOP_FRAMES, VideoCache
from vov3d.data.dataset import ClipDataset, Sampling, ViewDataset
from vov3d.data.items import Clip
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.transforms import normalise, short_side_size
from vov3d.data.video import Window, open_video
from vov3d.data.views import Views
from vov3d.files import write_text

SEED_OF_DRAWS = 3
NEVER = 1 << 30

Row = dict[str, str | float | int]


@dataclass(frozen=True)
class Pattern:
    """Which frames of a video are asked for, and what is made of them."""

    name: str
    sampling: Sampling
    frame_stride: int = 1
    num_clips: int = 0  # 0: one random clip to train on
    num_crops: int = 3
    short_side: tuple[int, int] = (256, 320)
    crop: int = 224

    def reader(
        self, path: Path, fps: float | None = None, cache: VideoCache | None = None
    ) -> Callable[[int], Clip | Views]:
        """Read the video anew at each call; the same number draws the same clip."""
        items = (VideoItem(path, 0, path.name),)
        index = VideoIndex(path.parent, "class folders", ("a",), {"all": items}, (), "none", fps)
        if self.num_clips:
            views = ViewDataset(
                index,
                "all",
                num_frames=16,
                sampling=self.sampling,
                frame_stride=self.frame_stride,
                num_clips=self.num_clips,
                num_crops=self.num_crops,
                crop=self.crop,
                cache=cache,
            )
            return lambda _draw: _whole(views[0])
        clips = ClipDataset(
            index,
            "all",
            num_frames=16,
            sampling=self.sampling,
            frame_stride=self.frame_stride,
            short_side=self.short_side,
            crop=self.crop,
            seed=SEED_OF_DRAWS,
            cache=cache,
        )
        return lambda draw: _whole(clips[draw, 0])


def _whole(item: object) -> Clip | Views:
    assert isinstance(item, Clip | Views), item
    return item


TRAIN = (Pattern("16 segments", "segment"), Pattern("16x5 dense", "dense", 5))
TEST = {
    "kinetics": Pattern("10 clips x 3 crops", "dense", 5, num_clips=10, crop=256),
    "ssv2": Pattern("10 clips x 3 crops", "segment", num_clips=10, crop=256),
    "1080p": Pattern("10 clips x 3 crops", "dense", 5, num_clips=10, crop=256),
}
SMALL = (
    Pattern("16 segments, crop 56", "segment", short_side=(64, 80), crop=56),
    Pattern("16x5 dense, crop 56", "dense", 5, short_side=(64, 80), crop=56),
)


def measured(variants: dict[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the processor of each variant in each round; the round number goes in as the draw."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for draw in range(rounds + 1):
        for name, variant in variants.items():
            started = time.process_time()
            variant(draw)
            if draw:  # the first round warms up
                found[name].append(1e3 * (time.process_time() - started))
    return found


def asked(path: Path, read: Callable[[], object]) -> tuple[list[int], tuple[int, int]]:
    """Which frames reading asks the decoder for, and at which size."""
    calls: list[tuple[list[int], tuple[int, int]]] = []
    frames = pyav.PyAVDecoder.frames

    def spy(
        self: pyav.PyAVDecoder,
        indices: Sequence[int],
        size: tuple[int, int] | None = None,
        window: Window | None = None,
    ) -> torch.Tensor:
        calls.append((sorted({int(index) for index in indices}), size or (0, 0)))
        return frames(self, indices, size, window)

    pyav.PyAVDecoder.frames = spy  # type: ignore[method-assign]
    try:
        read()
    finally:
        pyav.PyAVDecoder.frames = frames  # type: ignore[method-assign]
    assert len(calls) == 1, f"{path} was read {len(calls)} times"
    return calls[0]


@dataclass
class Limit:
    """A loop of nothing but FFmpeg over the packets that are needed: what no reader in this process can beat."""

    open_ms: float = 0.0
    demux_ms: float = 0.0
    decode_ms: float = 0.0
    convert_ms: float = 0.0

    def run(self, path: Path, numbers: list[int], size: tuple[int, int]) -> None:
        """Decode and convert these frames, and throw them away."""
        runs, kept = _runs(path, numbers)
        clock, reformatter = time.process_time, av.video.reformatter.VideoReformatter()
        at = clock()
        container = av.open(str(path))
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count = 1
        self.open_ms += 1e3 * (clock() - at)
        for start, wanted in runs:
            at = clock()
            container.seek(start, stream=stream)
            for packet in container.demux(stream):
                context.skip_frame = "DEFAULT" if packet.pts in kept or not packet.size else "NONREF"
                now = clock()
                self.demux_ms += 1e3 * (now - at)
                frames = packet.decode()
                at = clock()
                self.decode_ms += 1e3 * (at - now)
                for frame in frames:
                    if frame.pts in wanted:
                        wanted.discard(frame.pts)
                        reformatter.reformat(
                            frame, size[1], size[0], "rgb24", interpolation=Interpolation.BILINEAR, threads=1
                        )
                now, at = at, clock()
                self.convert_ms += 1e3 * (at - now)
                if not wanted:
                    break
        container.close()

    @property
    def total_ms(self) -> float:
        """Everything in it."""
        return self.open_ms + self.demux_ms + self.decode_ms + self.convert_ms


def _runs(path: Path, numbers: list[int]) -> tuple[list[tuple[int, set[int]]], set[int]]:
    """Where decoding has to begin, and the time stamps to wait for after each beginning."""
    with pyav.PyAVDecoder(path) as video:
        timeline = video._timeline
    assert timeline is not None
    runs: list[tuple[int, set[int]]] = []
    last = -1
    for number, keyframe in zip(numbers, timeline.starts(numbers), strict=True):
        if not runs or timeline.first_shown(keyframe) > last + pyav.MIN_FRAMES_SAVED:
            runs.append((keyframe, set()))
        runs[-1][1].add(int(timeline.pts[number]))
        last = number
    return runs, {pts for _, wanted in runs for pts in wanted}


def whole_file(path: Path, numbers: list[int], size: tuple[int, int]) -> list[np.ndarray]:
    """Decode all frames in order, as RGB, and keep those that are wanted, resized."""
    wanted, kept = set(numbers), []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.to_ndarray(format="rgb24")
            if number in wanted:
                full = av.VideoFrame.from_ndarray(picture, format="rgb24")
                kept.append(full.reformat(size[1], size[0], interpolation=Interpolation.BILINEAR).to_ndarray())
    return kept


def write_jpegs(path: Path, folder: Path) -> Path:
    """Extract all frames at full size, quality 95."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(folder / f"{number:05}.jpg", quality=95)
    return folder


def compare(kind: Kind, path: Path, jpegs: Path, pattern: Pattern, rounds: int) -> Row:
    """Ours against other ways to the same tensor, and against the decoder alone."""
    read, read_jpegs = pattern.reader(path), pattern.reader(jpegs, fps=kind.fps)
    plans = [asked(path, functools.partial(read, draw)) for draw in range(rounds + 1)]
    crop = min(pattern.crop, *plans[0][1])
    limits: list[Limit] = []

    def limit(draw: int) -> None:
        limits.append(Limit())
        limits[-1].run(path, *plans[draw])

    def plain(draw: int) -> torch.Tensor:
        frames = torch.from_numpy(np.stack(whole_file(path, *plans[draw]))).permute(0, 3, 1, 2)
        return normalise(frames[..., :crop, :crop], 0.45, 0.225)

    variants: dict[str, Callable[[int], object]] = {"ours": read, "limit": limit, "whole": plain, "jpeg": read_jpegs}
    found = measured(variants, rounds)
    if pattern.num_clips:
        held = read(0)
        assert isinstance(held, Views)
        found |= measured({"float": lambda _draw: held.views}, rounds)
    limits = limits[1:]
    median = {name: statistics.median(values) for name, values in found.items()}
    alone = [one.total_ms for one in limits]
    beside = statistics.median(1 - fast / slow for slow, fast in zip(found["ours"], alone, strict=True))
    strict = statistics.median(1 - one.decode_ms / slow for slow, one in zip(found["ours"], limits, strict=True))
    row: Row = {
        "kind": kind.name,
        "pattern": pattern.name,
        "frames_decoded_for": len(plans[0][0]),
        "file_bytes": path.stat().st_size,
        "ours_ms": round(median["ours"], 1),
        "clips_per_second_core": round(1e3 * max(pattern.num_clips, 1) / median["ours"], 1),
        "whole_file_ms": round(median["whole"], 1),
        "jpeg_frames_ms": round(median["jpeg"], 1),
        "jpeg_bytes": sum(one.stat().st_size for one in jpegs.iterdir()),
        "decoder_alone_ms": round(statistics.median(alone), 1),
        "open_ms": round(statistics.median(one.open_ms for one in limits), 1),
        "demux_ms": round(statistics.median(one.demux_ms for one in limits), 1),
        "decode_ms": round(statistics.median(one.decode_ms for one in limits), 1),
        "convert_ms": round(statistics.median(one.convert_ms for one in limits), 1),
        "beside_decoder_share": round(beside, 3),
        "beside_packets_decode_share": round(strict, 3),
    }
    if pattern.num_clips:
        row["views_to_float_ms"] = round(median["float"], 1)
    return row


def seeking(kind: Kind, work: Path, rounds: int) -> list[Row]:
    """What a rule for jumping costs: by length of the groups of pictures, pattern and rule."""
    rows: list[Row] = []
    for gop in (4, 12, 250):
        path = work / f"{kind.name}-gop{gop}{kind.suffix}"
        if not path.exists():
            write_video(kind, path, keyframe_every=gop)
        for pattern in TRAIN:
            rules = (NEVER, 0, 2, 6, 24)
            read = pattern.reader(path)
            found = measured({str(rule): _with_rule(rule, read) for rule in rules}, rounds)
            row: Row = {"gop_frames": gop, "pattern": pattern.name}
            for rule in rules:
                name = "in_order_ms" if rule == NEVER else f"jump_if_saves_over_{rule}_ms"
                row[name] = round(statistics.median(found[str(rule)]), 1)
            rows.append(row)
    return rows


def _with_rule(min_frames_saved: int, read: Callable[[int], object]) -> Callable[[int], object]:
    def ruled(draw: int) -> object:
        before, pyav.MIN_FRAMES_SAVED = pyav.MIN_FRAMES_SAVED, min_frames_saved
        try:
            return read(draw)
        finally:
            pyav.MIN_FRAMES_SAVED = before

    return ruled


def copied(kind: Kind, path: Path, work: Path, patterns: Sequence[Pattern], rounds: int) -> list[Row]:
    """A copy against its source, for patterns that want the same short side."""
    side = patterns[0].short_side[1]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        cache = VideoCache(Path(folder), side)
        started = time.process_time()
        cache.open(VideoItem(path, 0, path.name)).close()
        made_seconds = time.process_time() - started
        (copy,) = Path(folder).rglob("*.mp4")
        facts: Row = {
            "source_bytes": path.stat().st_size,
            "copy_bytes": copy.stat().st_size,
            "made_seconds": round(made_seconds, 2),
            "psnr_db": round(_psnr(path, cache, side), 1),
        }
        rows: list[Row] = []
        for pattern in patterns:
            found = measured({"source": pattern.reader(path), "copy": pattern.reader(path, cache=cache)}, rounds)
            ratios = [slow / fast for slow, fast in zip(found["source"], found["copy"], strict=True)]
            times: Row = {
                "source_ms": round(statistics.median(found["source"]), 1),
                "copy_ms": round(statistics.median(found["copy"]), 1),
                "speed_up": round(statistics.median(ratios), 2),
            }
            rows.append({"kind": kind.name, "pattern": pattern.name, "short_side": side, **times, **facts})
        return rows


def _psnr(path: Path, cache: VideoCache, short_side: int) -> float:
    """Of 16 frames of the copy against those of the source, at the size of the copy."""
    with open_video(path) as video, cache.open(VideoItem(path, 0, path.name)) as copy:
        info = video.info
        size = short_side_size(info.height, info.width, min(short_side, info.height, info.width))
        numbers = np.linspace(0, info.num_frames - 1, 16).astype(int).tolist()
        error = (video.frames(numbers, size).float() - copy.frames(numbers, size).float()).square().mean()
    return float(10 * torch.log10(255**2 / error))


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as a Markdown table."""
    lines = [columns, ["---"] * len(columns), *([str(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", action="store_true", help="measure copies and the rule for seeking too")
    parser.add_argument("--work", type=Path, help="where the videos are kept; by default they are thrown away")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        tables = measure(work, args.rounds, args.cache)
    path = results_path("decoding", "json")
    facts = {"ffmpeg": av.ffmpeg_version_info, "rounds": args.rounds}
    write_text(path, json.dumps({"machine": machine_facts() | facts, **tables}, indent=1) + "\n")
    print(path)


def measure(work: Path, rounds: int, with_cache: bool) -> dict[str, list[Row]]:
    """Make the videos and measure all of it."""
    tables: dict[str, list[Row]] = {"readers": []}
    paths: dict[str, Path] = {}
    for kind in KINDS:
        path = paths[kind.name] = work / f"{kind.name}{kind.suffix}"
        if not path.exists():
            write_video(kind, path)
        jpegs = write_jpegs(path, work / f"{kind.name}-frames")
        for pattern in (*TRAIN, TEST[kind.name]):
            tables["readers"].append(compare(kind, path, jpegs, pattern, rounds))
    print(table(tables["readers"], list(tables["readers"][-1])))
    if with_cache:
        tables["seeking"] = seeking(KINDS[0], work, rounds)
        print(table(tables["seeking"], list(tables["seeking"][0])))
        tables["copies"] = [
            row
            for kind in KINDS
            for patterns in ((*TRAIN, TEST[kind.name]), SMALL)
            for row in copied(kind, paths[kind.name], work, patterns, rounds)
        ]
        print(f"copies: a keyframe every {GOP_FRAMES} frames, crf {CRF}")
        print(table(tables["copies"], list(tables["copies"][0])))
    return tables


if __name__ == "__main__":
    main()
