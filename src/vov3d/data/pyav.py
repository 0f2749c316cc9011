"""Video files, decoded by PyAV (FFmpeg): exactly the frames asked for, and little else.

How a frame is found. The packets of the file say when each frame is shown (`vov3d.data.timeline`), and the frames that
come out of the decoder carry the same time stamps, so a frame is known by its stamp wherever decoding began:

1. wanted frames are taken in order; where a keyframe lies between the last one and the next, decoding jumps to it,
   unless it would skip only a few frames: it has the keyframe to decode, which is the dearest of its group;
2. the packets are those that told the times, so a file is read once; of a long one they are not kept, and what is read
   after a jump must be those that follow that keyframe in the file. What comes out must begin with the keyframe;
   in MPEG-TS and MPEG-PS there is no jumping, because damage there can go unnoticed;
3. frames that nobody wants and no other frame refers to are not decoded: packets of H.264 say so and never reach the
   decoder, others are skipped inside it;
4. if anything is not as the packets said, everything is decoded from the start of the file. What is missing then is
   missing: a `DecodeError` says how many frames decode. No frame is ever repeated, or taken for another.

Without usable time stamps (raw streams, AVI with B-frames) frames are counted off from the start of the file.
Damage ends a run: what follows it, up to the next keyframe, was predicted from pictures that are lost. FFmpeg is told
to say so (`STRICT`), where it would rather make up a picture out of those before.
"""

from __future__ import annotations

import contextlib
import errno
import io
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
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vov3d.data.packet_bytes import CODECS_TO_CHECK, is_damaged, is_h264_without_idr, is_h264_without_use
from vov3d.data.timeline import AstrayError, Jump, Timeline, packets, read_timeline
from vov3d.data.video import FileInMemory, VideoInfo, Window, checked_indices, checked_window
from vov3d.errors import DecodeError

FALLBACK_FPS = 30.0
RATE_TOLERANCE = 0.05
MIN_FRAMES_SAVED = 6  # a jump costs about as much as these; measured in benchmarks/decoding.py
DAMAGED = "Invalid data found in a frame"
MAX_PIXELS = 8192 * 8192  # of a frame; beyond it a header is wrong, or the frames do not fit into memory
CONTAINERS_WITHOUT_FRAMES = frozenset({"mpeg", "mpegts"})  # what they lose, they lose in the middle of frames, silently
CONTAINERS_WITH_WHOLE_FRAMES = frozenset({"mov", "matroska"})  # both fields of an interlaced frame are one packet


STRICT = {
    "err_detect": "explode+crccheck+bitstream+buffer",  # say that a picture is damaged, and do not make one up
    "max_pixels": str(MAX_PIXELS),
}


class _NamedBytes(io.BytesIO):
    """A file in memory; the end of its name helps FFmpeg to tell what it is, as on disk."""

    def __init__(self, file: FileInMemory) -> None:
        super().__init__(file.content)
        self.name = file.name


class PyAVDecoder:
    """The first video stream of a file (see `vov3d.data.video.Decoder`).

    Args:
        path: the file.
        file: its name and content, if it is in memory; `path` then is for messages alone.

    Raises:
        DecodeError: the file cannot be read, has no video stream, or none of its frames decodes.
    """

    def __init__(self, path: Path, file: FileInMemory | None = None) -> None:
        self._path, self._file = path, file
        self._reformatter = VideoReformatter()
        self._kept: set[int] = set()  # time stamps of the frames that must not be skipped; empty: skip none
        try:
            self._container, self._stream = _open(path, file)
        except (av.FFmpegError, OSError) as error:
            raise DecodeError(path, _reason(error)) from error
        try:
            timeline = read_timeline(self._container, self._stream)
            first, run = self._begin(timeline)
            self._timeline = _trusted(timeline, first, self._container)
            self._fresh: Iterator[VideoFrame] | None = itertools.chain([first], run)
            self._quarter_turns = _quarter_turns(first.rotation)
            self._info = self._describe(first)
        except BaseException as error:
            self.close()
            if isinstance(error, (av.FFmpegError, OSError)):
                raise DecodeError(path, _reason(error)) from error
            raise

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        return self._info

    def frames(
        self, indices: Sequence[int], size: tuple[int, int] | None = None, window: Window | None = None
    ) -> torch.Tensor:
        """Decode exactly the frames asked for (see `Decoder.frames`)."""
        numbers = checked_indices(self._info, indices)
        (height, width), window = checked_window(self._info, size, window)
        places: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            places.setdefault(number, []).append(place)
        try:
            pictures = np.empty((len(numbers), window.height, window.width, 3), np.uint8)
            for number, frame in self._find(sorted(places)):
                picture = window.of(self._picture(frame, height, width))
                del frame  # FFmpeg recycles its buffers in the same order, whichever frames are asked for
                for place in places[number]:
                    pictures[place] = picture
        except MemoryError as error:
            what = f"{len(numbers)} frames of {height} x {width} pixels do not fit into memory"
            raise DecodeError(self._path, f"{what}; ask for fewer, or for a smaller size") from error
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
            with contextlib.suppress(av.FFmpegError, AstrayError):  # damage, or a container that cannot seek
                run = self._jump(timeline.jump(int(timeline.keyframe_pts[0])))
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
        ticks = int(self._timeline.pts[-1]) - int(self._timeline.pts[0])
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
            promised = min(self._stream.frames, self._container.size)  # a frame takes a byte at least
            return max(count, promised)  # the rest is missed by who asks for it
        return count

    def _find(self, numbers: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield each of the numbered frames, which are given in ascending order."""
        todo = deque(numbers)
        if self._timeline is not None and self._container.format.name not in CONTAINERS_WITHOUT_FRAMES:
            for run_up in (0, 1):
                with contextlib.suppress(AstrayError, av.FFmpegError):
                    for number, frame in self._by_jumps(self._timeline, list(todo), run_up):
                        todo.popleft()
                        yield number, frame
        if todo:
            yield from self._from_start(todo)

    def _by_jumps(self, timeline: Timeline, numbers: list[int], run_up: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames by their time stamps, decoding from the keyframe before each where that is shorter.

        Args:
            timeline: of the video.
            numbers: of the frames, ascending.
            run_up: groups of pictures to decode before a keyframe; 1 where what follows it names frames before it.
        """
        self._kept = {int(pts) for pts in timeline.pts[numbers]}
        run, self._fresh = self._fresh, None
        last, due = -1, None
        for number, keyframe in zip(numbers, timeline.starts(numbers), strict=True):
            wanted, landing = int(timeline.pts[number]), timeline.first_shown(keyframe)
            if run is None or landing > last + MIN_FRAMES_SAVED:
                due = int(timeline.pts[landing])
                self._kept.add(due)
                run = self._jump(timeline.jump(keyframe, run_up))
            for frame in run:
                if frame.pts is None:
                    raise AstrayError
                if due is not None and frame.pts < due:
                    continue  # shown before the keyframe, and it may refer to what was jumped over
                if frame.pts > wanted or due not in (None, frame.pts):
                    raise AstrayError
                if due == keyframe and not frame.key_frame:
                    raise AstrayError
                due = None
                if frame.pts == wanted:
                    yield number, frame
                    break
            else:
                raise AstrayError
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

    def _jump(self, jump: Jump) -> Iterator[VideoFrame]:
        """Run from a keyframe on, or from wherever the file lets us land."""
        timeline = jump.timeline
        if timeline.kept:
            self._stream.codec_context.flush_buffers()
            return self._run(timeline.packets_from(jump.landing_pts), jump)
        self._container.seek(jump.landing_pts, stream=self._stream)
        return self._run(timeline.follow(packets(self._container, self._stream)), jump)

    def _restart(self) -> Iterator[VideoFrame]:
        """Run from the first packet of the file, skipping nothing; opening it anew is the way that never fails."""
        self.close()
        self._container, self._stream = _open(self._path, self._file)
        self._kept = set()
        return self._run(packets(self._container, self._stream))

    def _run(self, found: Iterator[Packet[VideoStream]], jump: Jump | None = None) -> Iterator[VideoFrame]:
        """Yield the frames of packets.

        Errors are passed over until the first keyframe, because a run may begin in the middle of a group of pictures.
        Thereafter an error ends the run, unless it comes of what precedes the keyframe (see `_is_forgiven`).

        Args:
            found: from somewhere in the file to its end.
            jump: what was jumped to; none where the packets are those of the whole file.
        """
        context = self._stream.codec_context
        begin: Packet[VideoStream] | None = None
        first_group = False
        for packet in found:
            is_spare = bool(self._kept) and packet.pts not in self._kept
            context.skip_frame = "NONREF" if is_spare else "DEFAULT"
            first_group = first_group and not packet.is_keyframe
            try:
                frames = [] if is_spare and _is_without_use(context, packet) else _decode(context, packet)
            except av.FFmpegError:
                if begin is None:
                    if jump is None:
                        context.flush_buffers()
                elif not (_is_shown_before(packet, begin) or (first_group and jump is None)):
                    raise
                continue
            if begin is None and packet.is_keyframe and (jump is None or packet.pts == jump.keyframe_pts):
                begin = packet
                first_group = self._refers_back(packet)
            if begin is not None:
                yield from _sound(frames, begin)
        yield from _sound(context.decode(None), begin)

    def _refers_back(self, keyframe: Packet[VideoStream]) -> bool:
        """Whether the frames after a keyframe may name ones before it; where a file begins so, that is no damage."""
        context = self._stream.codec_context
        return context.name == "h264" and is_h264_without_idr(bytes(keyframe), context.extradata)

    def _picture(self, frame: VideoFrame, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Convert a frame to RGB of this size as displayed, in one pass."""
        if self._quarter_turns % 2:
            height, width = width, height
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : 3 * width]
        pixels = rows.reshape(height, width, 3)  # not a copy, though rows end in padding
        return np.rot90(pixels, self._quarter_turns) if self._quarter_turns else pixels


def _open(path: Path, file: FileInMemory | None) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its first video stream that is not a cover picture."""
    source = f"file:{path}" if file is None else _NamedBytes(file)  # "file:" lets a name hold a colon
    container = av.open(source, "r", metadata_errors="ignore")
    streams = (stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition)
    stream = next(streams, None)
    if stream is None or stream.codec_context is None:
        container.close()
        missing = "no video stream in this file" if stream is None else "this build of FFmpeg cannot decode its video"
        raise DecodeError(path, missing)
    stream.codec_context.thread_count = 1  # loaders already run a process for each core
    stream.codec_context.options = dict(STRICT)
    return container, stream


def _is_without_use(context: VideoCodecContext, packet: Packet[VideoStream]) -> bool:
    """Whether no other frame changes if the decoder never sees this packet."""
    return context.name == "h264" and is_h264_without_use(bytes(packet), context.extradata)


def _decode(context: VideoCodecContext, packet: Packet[VideoStream]) -> list[VideoFrame]:
    """Decode a packet; damage is an error even where FFmpeg says nothing of it."""
    codec = context.codec.canonical_name
    if codec in CODECS_TO_CHECK and is_damaged(codec, bytes(packet), context.extradata, context.height):
        raise av.InvalidDataError(errno.EINVAL, DAMAGED)
    return context.decode(packet)


def _sound(frames: list[VideoFrame], begin: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
    """Yield the frames up to one that is damaged; those that are shown before the first keyframe may be."""
    for frame in frames:
        if not frame.is_corrupt:
            yield frame
        elif begin is None or not _is_shown_before(frame, begin):
            raise av.InvalidDataError(errno.EINVAL, DAMAGED)


def _is_shown_before(one: VideoFrame | Packet[VideoStream], other: Packet[VideoStream]) -> bool:
    """Whether both have time stamps and the first one's is the earlier."""
    return one.pts is not None and other.pts is not None and one.pts < other.pts


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
