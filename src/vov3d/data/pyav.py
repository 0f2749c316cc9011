"""Video files, decoded by PyAV (FFmpeg): exactly the frames asked for, and little else.

How a frame is found. The packets of the file say when each frame is shown (`vov3d.data.timeline`), and the frames that
come out of the decoder carry the same time stamps, so a frame is known by its stamp wherever decoding began:

1. wanted frames are taken in order; where a keyframe lies between the last one and the next, decoding jumps to it;
2. what comes out after a jump must begin with that keyframe, else the jump landed elsewhere (as in MPEG-TS);
3. frames that nobody wants and no other frame refers to are skipped inside the decoder;
4. if anything is not as the packets said, everything is decoded from the start of the file. What is missing then is
   missing: a `DecodeError` says how many frames decode. No frame is ever repeated, or taken for another.

Without usable time stamps (raw streams, AVI with B-frames) frames are counted off from the start of the file.
Damage ends a run: what follows it, up to the next keyframe, was predicted from pictures that are lost.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
import torch
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vov3d.data.timeline import Timeline, packets, read_timeline
from vov3d.data.video import VideoInfo, checked_indices
from vov3d.errors import DecodeError

FALLBACK_FPS = 30.0
RATE_TOLERANCE = 0.05
MIN_FRAMES_SAVED = 2  # a jump that saves fewer is not worth it
CONTAINERS_WITH_WHOLE_FRAMES = frozenset({"mov", "matroska"})  # both fields of an interlaced frame are one packet


class _AstrayError(Exception):
    """What comes out of the decoder is not what the packets said would come."""


class PyAVDecoder:
    """The first video stream of a file (see `vov3d.data.video.Decoder`).

    Args:
        path: the file.

    Raises:
        DecodeError: the file cannot be read, has no video stream, or none of its frames decodes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reformatter = VideoReformatter()
        self._kept: set[int] = set()  # time stamps of the frames that must not be skipped; empty: skip none
        try:
            self._container, self._stream = _open(path)
            timeline = read_timeline(self._container, self._stream)
            first, run = self._begin(timeline)
            self._timeline = _trusted(timeline, first, self._container)
            self._fresh: Iterator[VideoFrame] | None = itertools.chain([first], run)
            self._quarter_turns = _quarter_turns(first.rotation)
            self._info = self._describe(first)
        except (av.FFmpegError, OSError) as error:
            raise DecodeError(path, _reason(error)) from error

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        return self._info

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> torch.Tensor:
        """Decode exactly the frames asked for (see `Decoder.frames`)."""
        numbers = checked_indices(self._info, indices, size)
        height, width = size or (self._info.height, self._info.width)
        pictures = np.empty((len(numbers), height, width, 3), np.uint8)
        places: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            places.setdefault(number, []).append(place)
        try:
            for number, frame in self._find(sorted(places)):
                pictures[places[number]] = self._picture(frame, height, width)
        except (av.FFmpegError, OSError) as error:
            raise DecodeError(self._path, _reason(error)) from error
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def __enter__(self) -> PyAVDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, timeline: Timeline | None) -> tuple[VideoFrame, Iterator[VideoFrame]]:
        """The first frame of the file, and the run that goes on after it."""
        if timeline is not None:
            with contextlib.suppress(av.FFmpegError):  # damage, or a container that cannot seek
                run = self._jump(int(timeline.keyframe_pts[0]))
                first = next(run, None)
                if first is not None and first.pts is not None and first.pts <= timeline.pts[0]:
                    return first, run
        run = self._restart()
        first = next(run, None)
        if first is None:
            raise DecodeError(self._path, "not one frame of its video stream decodes")
        return first, run

    def _describe(self, first: VideoFrame) -> VideoInfo:
        """Count the frames and read off the rest."""
        num_frames = len(self._timeline.pts) if self._timeline is not None else self._count()
        rate = self._rate(num_frames)
        height, width = (first.width, first.height) if self._quarter_turns % 2 else (first.height, first.width)
        codec = self._stream.codec_context.codec.canonical_name
        return VideoInfo(self._path, num_frames, rate, num_frames / rate, height, width, codec)

    def _rate(self, num_frames: int) -> float:
        """Frames per second: what the header says, unless the time stamps say something else."""
        stated = float(self._stream.average_rate or 0)
        if self._timeline is None or num_frames < 2 or self._stream.time_base is None:
            return stated or FALLBACK_FPS
        ticks = int(self._timeline.pts[-1] - self._timeline.pts[0])
        measured = (num_frames - 1) / float(ticks * self._stream.time_base)
        return stated if abs(stated / measured - 1) < RATE_TOLERANCE else measured

    def _count(self) -> int:
        """Count the frames by decoding all of them."""
        run, self._fresh = self._fresh, None
        count = 0
        try:
            for _ in run or ():
                count += 1
        except av.FFmpegError:
            return max(count, self._stream.frames)  # the rest is promised, and missed by who asks for it
        return count

    def _find(self, numbers: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield each of the numbered frames, which are given in ascending order."""
        todo = deque(numbers)
        if self._timeline is not None:
            with contextlib.suppress(_AstrayError, av.FFmpegError):
                for number, frame in self._by_jumps(self._timeline, numbers):
                    todo.popleft()
                    yield number, frame
        if todo:
            yield from self._from_start(todo)

    def _by_jumps(self, timeline: Timeline, numbers: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames by their time stamps, decoding from the keyframe before each where that is shorter."""
        self._kept = {int(pts) for pts in timeline.pts[numbers]}
        run, self._fresh = self._fresh, None
        last, due = -1, None
        for number, keyframe in zip(numbers, timeline.starts(numbers), strict=True):
            wanted, landing = int(timeline.pts[number]), timeline.first_shown(keyframe)
            if run is None or landing > last + MIN_FRAMES_SAVED:
                due = int(timeline.pts[landing])
                self._kept.add(due)
                run = self._jump(keyframe)
            for frame in run:
                if frame.pts is None:
                    raise _AstrayError
                if due is not None and frame.pts < due:
                    continue  # shown before the keyframe, and it may refer to what was jumped over
                if frame.pts > wanted or due not in (None, frame.pts):
                    raise _AstrayError
                due = None
                if frame.pts == wanted:
                    yield number, frame
                    break
            else:
                raise _AstrayError
            last = number

    def _from_start(self, todo: deque[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames out of a decode of the whole file."""
        decoded, reason = 0, "then the file ends"
        try:
            for frame in self._restart():
                number = decoded if self._timeline is None else self._timeline.number(frame.pts)
                decoded += 1
                if number == todo[0]:
                    yield todo.popleft(), frame
                if not todo:
                    return
        except av.FFmpegError as error:
            reason = f"then: {_reason(error)}"
        promised = self._info.num_frames
        raise DecodeError(self._path, f"frame {todo[0]} is missing: {decoded} of {promised} frames decode, {reason}")

    def _jump(self, keyframe_pts: int) -> Iterator[VideoFrame]:
        """Run from a keyframe on, or from wherever the file lets us land."""
        self._container.seek(keyframe_pts, stream=self._stream)
        return self._run()

    def _restart(self) -> Iterator[VideoFrame]:
        """Run from the first packet of the file, skipping nothing; opening it anew is the way that never fails."""
        self.close()
        self._container, self._stream = _open(self._path)
        self._kept = set()
        return self._run()

    def _run(self) -> Iterator[VideoFrame]:
        """Yield the frames from where the container stands to the end of the file.

        A packet that does not decode is passed over until the first keyframe: a run may begin in the middle of a group
        of pictures. Thereafter it ends the run.
        """
        context = self._stream.codec_context
        begun = False
        for packet in packets(self._container, self._stream):
            context.skip_frame = "NONREF" if self._kept and packet.pts not in self._kept else "DEFAULT"
            try:
                frames = packet.decode()
            except av.FFmpegError:
                if begun:
                    raise
                continue
            begun = begun or packet.is_keyframe
            yield from frames
        yield from context.decode(None)

    def _picture(self, frame: VideoFrame, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Convert a frame to RGB of this size as displayed, in one pass."""
        if self._quarter_turns % 2:
            height, width = width, height
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)
        return np.rot90(rgb.to_ndarray(), self._quarter_turns)


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its first video stream that is not a cover picture."""
    container = av.open(f"file:{path}", metadata_errors="ignore")  # "file:" lets a name hold a colon
    for stream in container.streams.video:
        if Disposition.attached_pic in stream.disposition:
            continue
        if stream.codec_context is None:
            raise DecodeError(path, "this build of FFmpeg has no decoder for its video stream")
        stream.codec_context.thread_count = 1  # loaders already run a process for each core
        return container, stream
    container.close()
    raise DecodeError(path, "no video stream in this file")


def _trusted(timeline: Timeline | None, first: VideoFrame, container: InputContainer) -> Timeline | None:
    """The timeline as the first frame bears it out; None where packets and frames are not of one kind."""
    if timeline is None or first.pts is None or first.pts not in timeline.pts:
        return None
    if first.interlaced_frame and not CONTAINERS_WITH_WHOLE_FRAMES & set(container.format.name.split(",")):
        return None
    return timeline.without_lead(first.pts)


def _quarter_turns(rotation: int) -> int:
    """Quarter turns counterclockwise; a matrix of zeros reads as a rotation of -2147483648 and means none."""
    return round(rotation / 90) % 4 if abs(rotation) <= 360 else 0


def _reason(error: Exception) -> str:
    """The message of an error in one line, without the path, which a `DecodeError` says already."""
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split())
