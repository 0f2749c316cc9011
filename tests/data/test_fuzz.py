"""Damaged files give frames or a `DecodeError`: no crash, no hang, no leak, no wrong frame."""

from __future__ import annotations

import gc
import os
import signal
import struct
import time
from pathlib import Path

import av
import pytest

from tests.data.fuzzing import (
    MUTATIONS,
    NUM_FRAMES,
    NUM_KINDS,
    SOURCES,
    kind,
    memory_mib,
    mutated,
    run,
    table,
    write_sources,
)
from vov3d.data.video import open_video
from vov3d.errors import DecodeError

FAST_SEEDS, SLOW_SEEDS = range(7), range(100, 236)
MAX_GROWTH_MIB = 16


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return write_sources(tmp_path_factory.mktemp("sources"))


def fuzz(originals: dict[str, bytes], cases: list[tuple[str, int]], folder: Path) -> None:
    results = list(run(originals, cases, folder))
    print(table(results))
    assert len(results) == len(cases)
    assert not [str(result) for result in results if result.is_failure]
    outcomes = [result.outcome for result in results]
    assert min(outcomes.count(outcome) for outcome in ("whole", "partial", "refused")) > len(cases) // 20


def test_mutations_are_survived(originals: dict[str, bytes], tmp_path: Path) -> None:
    """Every file is spoilt in seven ways; over the files all twelve ways come up."""
    cases = [(name, seed + place) for seed in FAST_SEEDS for place, name in enumerate(originals)]
    assert len(cases) >= 150
    assert {kind(seed) for _, seed in cases} == {*(one.__name__ for one in MUTATIONS), "foreign_header"}
    fuzz(originals, cases, tmp_path)


@pytest.mark.slow
def test_three_thousand_mutations_are_survived(originals: dict[str, bytes], tmp_path: Path) -> None:
    cases = [(name, seed) for seed in SLOW_SEEDS for name in originals]
    assert len(cases) >= 3000
    assert len({source.codec for source in SOURCES}) >= 8
    fuzz(originals, cases, tmp_path)


def test_a_mutation_is_known_by_its_seed(originals: dict[str, bytes]) -> None:
    for seed in range(NUM_KINDS):
        once, again, other = (mutated(originals, "h264.mp4", number) for number in (seed, seed, seed + NUM_KINDS))
        assert once == again != other
        assert once != originals["h264.mp4"]


def test_the_harness_sees_a_crash_a_hang_and_a_wrong_frame(
    originals: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.data.fuzzing.examine", _misbehave)
    monkeypatch.setattr("tests.data.fuzzing.LIMIT_SECONDS", 0.5)
    results = list(run(originals, [("h264.mp4", seed) for seed in range(5)], tmp_path))
    outcomes = [result.outcome for result in results]
    assert outcomes == ["whole", "died with exit code -9", "hangs", "ValueError: 3", "whole"]
    assert [result.is_failure for result in results] == [False, True, True, True, False]


def _misbehave(path: Path, name: str, what: str, seed: int) -> str:
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 2:
        time.sleep(60)
    if seed == 3:
        raise ValueError(seed)
    return "whole"


def decode_often(originals: dict[str, bytes], folder: Path, num_decodes: int) -> None:
    """Decode sound and damaged files in turn; memory must not grow once all of them have been seen twice."""
    cases = [(name, seed) for name in originals for seed in (None, 3, 4, 6)]
    paths = []
    for name, seed in cases:
        paths.append(folder / f"{seed}_{name}")
        paths[-1].write_bytes(originals[name] if seed is None else mutated(originals, name, seed))
    warm_up = 2 * len(paths)
    before = 0.0
    for number in range(warm_up + num_decodes):
        if number == warm_up:
            gc.collect()
            before = memory_mib()
        try:
            with open_video(paths[number % len(paths)]) as video:
                video.frames([0, video.info.num_frames - 1])
        except DecodeError:
            continue
    gc.collect()
    grown = memory_mib() - before
    print(f"{num_decodes} decodes: {grown:+.1f} MiB")
    assert grown < MAX_GROWTH_MIB


def test_memory_does_not_grow(originals: dict[str, bytes], tmp_path: Path) -> None:
    decode_often(originals, tmp_path, 100)


@pytest.mark.slow
def test_memory_does_not_grow_over_two_thousand_decodes(originals: dict[str, bytes], tmp_path: Path) -> None:
    decode_often(originals, tmp_path, 2000)


def test_files_are_closed(originals: dict[str, bytes], tmp_path: Path) -> None:
    """Also those that turn out to be no videos only after they have been opened."""
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("this system does not list the files of a process")
    sound, broken = tmp_path / "sound.mkv", tmp_path / "broken.mkv"
    sound.write_bytes(originals["h264_open.mkv"])
    broken.write_bytes(originals["h264_open.mkv"][:600])  # the header, and the begin of a frame
    before = len(list(open_files.iterdir()))
    errors = []
    for _ in range(20):
        with open_video(sound) as video:
            video.frames([3])
        with pytest.raises(DecodeError) as caught:
            open_video(broken)
        errors.append(caught.value)  # its traceback holds on to whatever was not closed
    assert len(list(open_files.iterdir())) == before


def absurd_gif(width: int, height: int) -> bytes:
    """A picture of one pixel on a very large screen."""
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    picture = b"\x2c" + struct.pack("<HHHH", 0, 0, width, height) + b"\x00\x02\x02\x44\x01\x00"
    return screen + picture + b"\x3b"


def test_a_frame_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "absurd.gif").write_bytes(absurd_gif(60_000, 60_000))
    with pytest.raises(DecodeError):
        open_video(tmp_path / "absurd.gif")
    (tmp_path / "small.gif").write_bytes(absurd_gif(2, 2))
    with open_video(tmp_path / "small.gif") as video:
        assert (video.info.height, video.info.width, video.info.num_frames) == (2, 2, 1)


def test_more_frames_than_memory_holds_are_refused(originals: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(originals["h264.mp4"])
    with (
        open_video(tmp_path / "video.mp4") as video,
        pytest.raises(DecodeError, match="2 frames of 4000000 x 4000000 pixels do not fit into memory; ask for fewer"),
    ):
        video.frames([0, 1], size=(4_000_000, 4_000_000))


def test_a_promise_of_more_frames_than_bytes_is_not_believed(originals: dict[str, bytes], tmp_path: Path) -> None:
    """The main header and the stream header of an AVI file say how many frames it has."""
    data = bytearray(originals["mpeg4_b.avi"])
    for mark, place in ((b"avih", 24), (b"strh", 40)):
        begin = data.index(mark) + place
        data[begin : begin + 4] = struct.pack("<I", 2_000_000_000)
    path = tmp_path / "absurd.avi"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][12]
        position, size = packet.pos + 8, packet.size
    data[position + 4 : position + size] = b"\xff" * (size - 4)
    path.write_bytes(data)
    with open_video(path) as video:
        assert NUM_FRAMES < video.info.num_frames <= len(data)
        with pytest.raises(DecodeError, match="is missing"):
            video.frames([video.info.num_frames - 1])
