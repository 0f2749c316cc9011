"""Many views of a file cost one pass over it: no packet is decoded twice, and no byte read twice."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.data.video_files import Recording
from vov3d.data import pyav, timeline
from vov3d.data.dataset import ViewDataset
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.video import Decoder, FileInMemory, open_file_in_memory
from vov3d.data.views import Views

SLACK_BYTES = 4 * 32768  # FFmpeg reads 32 KiB at a time, and the head more than once

RECORDINGS = [
    Recording("long_groups.mp4", b_frames=3, num_frames=150, keyframe_every=250),
    Recording("short_groups.mp4", b_frames=2, num_frames=150, keyframe_every=12),
    Recording("vp9.webm", "libvpx-vp9", num_frames=60, options={"deadline": "realtime", "cpu-used": "8"}),
]


class CountingFile(io.BytesIO):
    """A file in memory that counts the bytes that are read from it."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        CountingFile.num_read += len(content)
        return content


def views_of(path: Path, sampling: str) -> Views:
    items = (VideoItem(path, 0, path.name),)
    index = VideoIndex(path.parent, "class folders", ("a",), {"val": items}, (), "none", None)
    dataset = ViewDataset(
        index, "val", num_frames=16, sampling=sampling, frame_stride=5, num_clips=10, num_crops=3, crop=32
    )
    views = dataset[0]
    assert isinstance(views, Views)
    return views


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_thirty_views_decode_each_packet_at_most_once(
    recording: Recording, sampling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Counter[int | None] = Counter()
    decode: Callable[..., list[av.VideoFrame]] = pyav._decode

    def counted(context: av.VideoCodecContext, packet: av.Packet) -> list[av.VideoFrame]:
        given[packet.dts] += 1
        return decode(context, packet)

    monkeypatch.setattr(pyav, "_decode", counted)
    views = views_of(recording.write(tmp_path), sampling)
    assert views.places.shape == (30, 16) and len(views.frames) == len(set(views.places.flatten().tolist()))
    again = {time: count for time, count in given.items() if count > 1}
    # The first frame is decoded when the file is opened; a jump to a later keyframe may follow, never one back.
    assert not again, f"decoded more than once: {again}"
    assert 30 <= len(given) <= recording.num_frames + 1


@pytest.mark.parametrize("name", ["large.mp4", "large.mkv"])
@pytest.mark.parametrize("is_long", [False, True])
def test_thirty_views_read_a_file_once(
    name: str, is_long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Recording(name, num_frames=90, size=(192, 256), options={"crf": "4", "preset": "ultrafast"}).write(tmp_path)
    content = path.read_bytes()
    assert len(content) > 8 * SLACK_BYTES

    class Named(CountingFile):
        def __init__(self, file: FileInMemory) -> None:
            super().__init__(file.content)
            self.name = file.name

    def in_memory(item: VideoItem, _frame_fps: float | None, _shards: object) -> Decoder:
        return open_file_in_memory(item.path, FileInMemory(item.path.name, content))

    monkeypatch.setattr(pyav, "_NamedBytes", Named)
    monkeypatch.setattr("vov3d.data.dataset.open_item", in_memory)
    monkeypatch.setattr(CountingFile, "num_read", 0)
    if is_long:  # too long to be kept: once for the times of the packets, and once to decode them
        monkeypatch.setattr(timeline, "MAX_KEPT_BYTES", len(content) // 2)
    views_of(path, "dense")
    most = (2 if is_long else 1) * len(content) + SLACK_BYTES
    assert most - len(content) < CountingFile.num_read <= most
