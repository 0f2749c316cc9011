"""Which moment belongs to which frame of a video file, read from its packets without decoding them.

The frame count in a header may be absent (mkv, webm, MPEG-TS) or count what is never shown (edit lists), so the packets
are read instead: a hundredth of the time that decoding them takes. Frame i of the video is then the one shown at
`Timeline.pts[i]`, wherever the decoder was told to start. A stream whose packets do not tell the moment of each frame
has no timeline; its frames can only be counted off as they are decoded.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vov3d.data.packet_bytes import is_hidden_vp8, is_jpeg_with_tables

MAX_REORDER_FRAMES = 32  # twice what H.264 and HEVC allow; beyond it the clock was set anew within the stream
MAX_BYTES_OF_EMPTY_VOP = 8
MAX_KEPT_BYTES = 64 << 20  # of packets; those of longer videos are read again where they are needed


class AstrayError(Exception):
    """What comes after a jump is not what a reading from the start said would come."""


@dataclass(frozen=True)
class Jump:
    """A keyframe to decode from.

    Args:
        timeline: of the stream.
        keyframe_pts: time stamp of the keyframe; from it on frames are wanted.
        landing_pts: time stamp of the keyframe to seek to, which is the same or an earlier one.
    """

    timeline: Timeline
    keyframe_pts: int
    landing_pts: int


@dataclass(frozen=True)
class Timeline:
    """The moments at which the frames of a stream are shown.

    Args:
        pts: presentation time stamps of the displayed frames, ascending: frame i is shown at `pts[i]`.
        keyframe_pts: time stamps of the packets at which decoding may start, ascending; they may lie before `pts[0]`.
        packet_ids: of all packets (see `packet_id`), in the order of the file.
        kept: all packets, in the order of the file, so that it is read once; none where they are too many.
    """

    pts: npt.NDArray[np.int64]
    keyframe_pts: npt.NDArray[np.int64]
    packet_ids: npt.NDArray[np.int64]
    kept: Sequence[Packet[VideoStream]] = ()

    def starts(self, numbers: list[int]) -> list[int]:
        """For each frame, the time stamp of the last keyframe that is not after it."""
        places = np.searchsorted(self.keyframe_pts, self.pts[numbers], side="right") - 1
        return [int(pts) for pts in self.keyframe_pts[np.maximum(places, 0)]]

    def jump(self, keyframe_pts: int, run_up: int = 0) -> Jump:
        """The jump to a keyframe, or to the one that is so many before it."""
        place = int(np.searchsorted(self.keyframe_pts, keyframe_pts)) - run_up
        return Jump(self, keyframe_pts, int(self.keyframe_pts[max(place, 0)]))

    def first_shown(self, pts: int) -> int:
        """The number of the first frame that is shown at this time stamp or after it."""
        return int(np.searchsorted(self.pts, pts))

    def number(self, pts: int | None) -> int | None:
        """The number of the frame that is shown at this time stamp; None where none is."""
        place = None if pts is None else self.first_shown(pts)
        return place if place is not None and place < len(self.pts) and self.pts[place] == pts else None

    def without_lead(self, first_pts: int) -> Timeline:
        """Drop what cannot be decoded because it refers to frames before the file begins.

        A stream cut out of a longer one may begin in the middle of a group of pictures, or with an open one. Frames
        that are shown before the first keyframe are dropped, unless the decoder did begin with one of them.

        Args:
            first_pts: time stamp of the first frame that the decoder gave.
        """
        begin = min(first_pts, int(self.keyframe_pts[0]))
        return replace(self, pts=self.pts[self.pts >= begin])

    def packets_from(self, keyframe_pts: int) -> Iterator[Packet[VideoStream]]:
        """The kept packets from a keyframe on."""
        return itertools.dropwhile(lambda packet: not packet.is_keyframe or packet.pts != keyframe_pts, self.kept)

    def follow(self, found: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """Pass on the packets that come after a jump, from the first one that is known.

        In a damaged file a jump can lead to packets that no reading from the start meets, or that bear other time
        stamps then: frames made of them would be taken for others.

        Raises:
            AstrayError: a packet is not the one that follows in the file.
        """
        place: int | None = None
        for packet in found:
            known = packet_id(packet)
            if place is None:
                places = np.flatnonzero(self.packet_ids == known)
                if not len(places):
                    continue
                place = int(places[0])
            if place >= len(self.packet_ids) or self.packet_ids[place] != known:
                raise AstrayError
            place += 1
            yield packet


def read_timeline(container: InputContainer, stream: VideoStream) -> Timeline | None:
    """Read all packets of a stream; None where they do not tell the moment of each frame."""
    shown: list[int | None] = []
    keyframes: list[int] = []
    ids: list[int] = []
    kept: list[Packet[VideoStream]] = []
    num_bytes = 0
    codec = stream.codec_context.codec.canonical_name
    if "avi" in container.format.name and stream.codec_context.has_b_frames:
        return None  # AVI stores the order of decoding alone
    for packet in packets(container, stream):
        ids.append(packet_id(packet))
        num_bytes += packet.size
        if num_bytes <= MAX_KEPT_BYTES:
            kept.append(packet)
        if codec == "mpeg4" and packet.size <= MAX_BYTES_OF_EMPTY_VOP:
            return None  # shows nothing, or stands for a B-frame packed into an earlier packet
        if packet.is_keyframe and packet.pts is not None and (codec != "mjpeg" or is_jpeg_with_tables(bytes(packet))):
            keyframes.append(packet.pts)
        if not packet.is_discard and not (codec == "vp8" and is_hidden_vp8(bytes(packet))):
            shown.append(packet.pts)
    if not keyframes or not shown or None in shown:
        return None
    decoding_order = np.array(shown, np.int64)
    pts = np.unique(decoding_order)
    if len(pts) < len(shown):
        return None
    moved = np.abs(np.searchsorted(pts, decoding_order) - np.arange(len(pts)))
    if moved.max() > MAX_REORDER_FRAMES:
        return None
    whole = kept if num_bytes <= MAX_KEPT_BYTES else ()
    return Timeline(pts, np.unique(np.array(keyframes, np.int64)), np.array(ids, np.int64), whole)


def packet_id(packet: Packet[VideoStream]) -> int:
    """What tells a packet from all others of its file: time stamp, place and size."""
    return hash((packet.pts, packet.pos, packet.size))


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield packets up to the end of the file, or up to where it cannot be read any further.

    Empty ones are left out: they show nothing, and a decoder takes one for the end of the stream.
    """
    with contextlib.suppress(av.FFmpegError, IndexError):  # IndexError: PyAV at the end of a file that grew a stream
        yield from (packet for packet in container.demux(stream) if packet.size)
