"""The native kernel gives what the plain network pools."""

from __future__ import annotations

import copy
import ctypes
import functools
import hashlib
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.filling import fill
from vov3d import native
from vov3d.errors import ArgumentError
from vov3d.layers import OPERATORS, BatchNorm, D2Plus1D
from vov3d.models import X3D, VoV3D, create_model
from vov3d.native import library
from vov3d.optimize.folding import folded

SMALL = {
    "small": lambda: VoV3D(12, (2, 1, 2, 1), num_units=3, num_classes=7),
    "small_x3d": lambda: X3D(0.4, num_classes=7),
    "d1plus2d": lambda: VoV3D(16, (1, 1, 1, 1), operator=OPERATORS["d1plus2d"], num_classes=7),
    "full": lambda: VoV3D(16, (1, 1, 1, 1), operator=OPERATORS["dw_bottleneck"], num_classes=7),
}
PUBLISHED = ("vov3d_s", "vov3d_m", "vov3d_l", "x3d_m", "x3d_l")
LEAST_COSINE = {"fp32": 1 - 1e-6, "bf16": 0.999, "int8": 0.99}

pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


@functools.cache
def avx2_library() -> ctypes.CDLL:
    """What a processor without AVX-512 compiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "FLAGS", (*library.FLAGS, "-mno-avx512f"))
        return library.load_library.__wrapped__()


@pytest.fixture(params=["widest", "avx2"])
def vectors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest that this processor has, and those that all have."""
    if request.param == "avx2":
        monkeypatch.setattr("vov3d.native.network.load_library", avx2_library)


@pytest.fixture(params=[*LEAST_COSINE, "fp32 in avx2"])
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> native.Precision:
    """Every precision that this processor has, float32 in both widths of a vector."""
    name, _, narrow = request.param.partition(" in ")
    reason = native.unavailable(name)
    if reason is not None:
        pytest.skip(reason)
    if narrow:
        monkeypatch.setattr("vov3d.native.network.load_library", avx2_library)
    return name


def network(name: str) -> nn.Module:
    """A network in evaluation whose norms do something."""
    if name not in SMALL:
        model = create_model(name, num_classes=7)
        fill(model)
        return model.eval()
    torch.manual_seed(1)
    model = SMALL[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.01, 2)
    return model.eval()


def clips_of(*shape: int) -> Tensor:
    return torch.randn(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(0))


def plain(model: nn.Module, clips: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(clips)


def logits_of(model: nn.Module, features: Tensor) -> Tensor:
    with torch.inference_mode():
        return model.head.classify(features)


@pytest.mark.parametrize("name", [*SMALL, *PUBLISHED])
@pytest.mark.parametrize("shape", [(1, 1, 33, 40), (3, 2, 32, 47), (2, 5, 70, 33)], ids=str)
@pytest.mark.usefixtures("vectors")
def test_logits_equal_the_plain_networks(name: str, shape: tuple[int, ...]) -> None:
    model, clips = network(name), clips_of(*shape)
    features = native.compile_network(model, clips, "fp32", num_threads=1)(clips)
    assert (logits_of(model, features) - plain(model, clips)).abs().max() < 1e-5


@pytest.mark.parametrize("channels", [1, 4, 7, 13, 18, 25])
@pytest.mark.usefixtures("vectors")
def test_stems_of_any_width(channels: int) -> None:
    """They are computed 4, 8 or 12 channels and 8 or 16 columns at a time."""
    torch.manual_seed(2)
    model = VoV3D(2 * channels, (1, 1, 1, 1), num_units=1, num_classes=7).eval()
    clips = clips_of(1, 3, 35, 66 + channels)
    features = native.compile_network(model, clips, "fp32", num_threads=1)(clips)
    assert (logits_of(model, features) - plain(model, clips)).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["small", "small_x3d", "vov3d_m"])
def test_low_precisions_stay_near(name: str, precision: native.Precision) -> None:
    model, clips = network(name), clips_of(2, 16, 64, 80)
    logits = logits_of(model, native.compile_network(model, clips, precision, num_threads=1)(clips))
    assert F.cosine_similarity(logits, plain(model, clips)).min() > LEAST_COSINE[precision]


def test_threads_calls_and_neighbours_change_nothing(precision: native.Precision) -> None:
    clips = clips_of(3, 4, 65, 64)
    model = network("small")
    one = native.compile_network(model, clips, precision, num_threads=1)
    other = native.compile_network(network("small_x3d"), clips[:1], precision, num_threads=1)
    two = native.compile_network(model, clips, precision, num_threads=2)
    first = one(clips)
    other(clips_of(1, 2, 33, 40))
    assert torch.equal(one(clips), first)
    assert torch.equal(two(clips), first)
    assert torch.equal(torch.cat([two(clip[None]) for clip in clips]), first)


def test_any_number_of_threads_gives_the_same(precision: native.Precision) -> None:
    """Of maps that are cut into rows, and of those that are not."""
    model, clips = network("small"), clips_of(1, 5, 97, 100)
    first = native.compile_network(model, clips, precision, num_threads=1)(clips)
    for threads in (2, 3, 5):
        assert torch.equal(native.compile_network(model, clips, precision, num_threads=threads)(clips), first)


def test_what_memory_held_before_does_not_matter(precision: native.Precision) -> None:
    """A clip of NaN leaves NaN in every map; the next one must not read them."""
    clips = clips_of(1, 3, 40, 40)
    kernel = native.compile_network(network("small"), clips, precision, num_threads=2)
    first = kernel(clips)
    if precision != "int8":
        assert kernel(torch.full_like(clips, torch.nan)).isnan().all()
    kernel(torch.full_like(clips, 1e30))
    assert torch.equal(kernel(clips), first)


def test_any_size_after_any_other() -> None:
    model = network("small")
    kernel = native.compile_network(model, clips_of(1, 2, 32, 32), "fp32")
    for shape in ((2, 4, 64, 33), (1, 1, 32, 90), (2, 2, 32, 32)):
        clips = clips_of(*shape)
        assert (logits_of(model, kernel(clips)) - plain(model, clips)).abs().max() < 1e-5


def test_a_step_by_step_profile_names_every_module() -> None:
    kernel = native.compile_network(network("small"), clips_of(1, 2, 64, 64), "fp32", num_threads=1)
    milliseconds = kernel.profile(clips_of(1, 2, 64, 64))
    assert set(milliseconds) == set(kernel.steps)
    assert milliseconds["stages.0.0.branch.units.0.branch"] > 0


def test_other_networks_are_refused() -> None:
    refused = "VoV3D and X3D, not TSN"
    assert refused in str(native.unsupported(create_model("tsn_r50").eval()))
    assert "eval()" in str(native.unsupported(VoV3D(12)))
    assert "no causal form" in str(native.unsupported(VoV3D(12, causal=True).eval()))
    dense = VoV3D(12, (1, 1, 1, 1), operator=OPERATORS["r2plus1d"]).eval()
    assert "R2Plus1D" in str(native.unsupported(dense))
    normed = VoV3D(12, (1, 1, 1, 1), operator=functools.partial(D2Plus1D, between=BatchNorm)).eval()
    assert "BatchNorm between" in str(native.unsupported(normed))
    assert "no input of blocks that stride" in str(native.unsupported(VoV3D(12, strided_input=True).eval()))
    assert "folds norms by itself" in str(native.unsupported(folded(network("small"))))
    with pytest.raises(ArgumentError, match="R2Plus1D"):
        native.compile_network(dense, clips_of(1, 1, 32, 32), "fp32")


def test_only_networks_of_five_halvings() -> None:
    model = VoV3D(16, (1, 0, 1, 1), num_classes=7).eval()
    assert "5 times, not 4" in str(native.unsupported(model))


def test_nothing_outside_changes_it() -> None:
    model, clips = network("small"), clips_of(1, 2, 32, 32)
    kernel = native.compile_network(model, clips, "fp32")
    wanted = kernel(clips)
    nn.init.zeros_(model.head.expand.conv.weight)
    model.train()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(kernel(clips), wanted)
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_wrong_is_one_line() -> None:
    model, clips = network("small"), clips_of(1, 1, 32, 32)
    for threads in (0, -1):
        with pytest.raises(ArgumentError, match=f"num_threads is {threads}; it must be 1 or more"):
            native.compile_network(model, clips, "fp32", num_threads=threads)
    with pytest.raises(ArgumentError, match="no precision 'fp16'; it has fp32, bf16, int8"):
        native.compile_network(model, clips, "fp16")
    kernel = native.compile_network(model, clips, "fp32")
    for refused in (copy.deepcopy, pickle.dumps):
        with pytest.raises(ArgumentError, match="in its process alone"):
            refused(kernel)


OUT_OF_MEMORY = """
import resource, torch
from tests.test_native import clips_of, native, network
from vov3d.errors import ArgumentError
large, small = clips_of(1, 16, 768, 768), clips_of(1, 1, 32, 32)
kernel = native.compile_network(network("small"), small, "fp32", num_threads=1)
first = kernel(small)
held = 1024 * int(open("/proc/self/statm").read().split()[0]) * 4
resource.setrlimit(resource.RLIMIT_AS, (held + 2**24, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        kernel(large)
    except ArgumentError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(torch.equal(kernel(small), first))
"""


def test_no_memory_is_one_line_and_no_end() -> None:
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=False)
    line = "no memory for a clip of 16x768x768 on 1 threads"
    assert done.stdout.splitlines() == [line, line, "True"], done.stderr[-500:]


@pytest.mark.parametrize("processor", ["-march=skylake-avx512", "-march=haswell", "-march=haswell -mavx512f"])
def test_processors_with_less_can_compile_it(processor: str) -> None:
    compiler = str(library._compiler())
    flags = [flag for flag in library.FLAGS if flag != "-march=native"]
    command = [compiler, *flags, *processor.split(), "-fsyntax-only", str(library.SOURCES / "network.cpp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_others_can_write_to_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = library._place("kernel.so")
    assert place == tmp_path / "vov3d" / "native" / "kernel.so"
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert caplog.messages == []
    place.parent.chmod(0o777)
    assert tmp_path not in library._place("kernel.so").parents
    assert str(place.parent) in caplog.text
    assert "compiled for this process alone; set XDG_CACHE_HOME" in caplog.text


def test_a_kernel_in_a_folder_that_cannot_be_written_to_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = library._place("kernel.so")
    place.write_bytes(b"kernel" + hashlib.sha256(b"kernel").digest())
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert library._place("kernel.so") == place
    assert tmp_path not in library._place("other.so").parents


def test_a_compiler_that_cannot_be_used_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It prints what is no text, makes what is no library, is no program, or never ends."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "COMPILE_SECONDS", 0.5)
    monkeypatch.setattr(library, "VERSION_SECONDS", 0.5)
    compiler, out = tmp_path / "odd++", len(library.FLAGS) + 2
    for text, said in (
        ("[ $1 = --version ] && exit; printf 'error \\377\\033[2J' >&2; exit 1", "error \ufffd\\x1b[2J"),
        ("printf '\\377'; exit 1", "no word"),
        (f'[ $1 = --version ] || echo made > "${{{out}}}"', "no word"),
        ("sleep 60", "it was not done after 0.5 s"),
        ("[ $1 = --version ] || sleep 60", "it was not done after 0.5 s"),
    ):
        compiler.write_text(f"#!/bin/sh\n{text}\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        with pytest.raises(ArgumentError) as caught:
            library.load_library.__wrapped__()
        assert str(caught.value) == f"{compiler} could not compile the native kernel: {said}"
    compiler.write_bytes(library.ELF)
    with pytest.raises(ArgumentError, match=r"could not compile the native kernel: .*xec format error"):
        library.load_library.__wrapped__()
    monkeypatch.setenv("CXX", str(tmp_path))
    assert f"or set CXX; CXX is {str(tmp_path)!r}, which is no program" in str(native.unavailable())
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_kernels_that_nobody_used_for_long_go_when_one_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "_compiled", lambda _compiler, _folder: library.ELF)
    long_ago = time.time() - 91 * 24 * 3600
    for name in ("old.so", "old.lock", "used.so", "mine.txt"):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (long_ago, long_ago) if name != "used.so" else None)
    library._compile("c++", tmp_path / "new.so")
    assert {path.name for path in tmp_path.iterdir()} - {"lock"} == {"new.so", "used.so", "mine.txt"}


def test_no_compiler_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "compiler" in str(native.unavailable())
    with pytest.raises(ArgumentError, match="compiler"):
        native.compile_network(network("small"), clips_of(1, 1, 32, 32), "fp32")


def test_a_processor_that_lacks_something_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, lacking in (
        ((), ("avx2, fma in fp32", "avx512f", "avx512f")),
        (library.NEEDED["fp32"], (None, "avx512f, avx512bw, avx512dq, avx512vl, avx512_bf16 in bf16", "avx512f")),
        (library.NEEDED["bf16"], ("avx2, fma in fp32", None, "processor with avx512_vnni, avx512vbmi in int8")),
    ):
        monkeypatch.setattr(library, "_cpu_features", functools.partial(frozenset, features))
        for precision, part in zip(LEAST_COSINE, lacking, strict=True):
            reason = native.unavailable(precision)
            assert reason is None if part is None else part in str(reason)


def test_without_avx512_there_is_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vov3d.native.network.load_library", avx2_library)
    clips = clips_of(1, 1, 32, 32)
    for precision in ("bf16", "int8"):
        if native.unavailable(precision) is None:
            with pytest.raises(ArgumentError, match=f"does not know this processor's instructions for {precision}"):
                native.compile_network(network("small"), clips, precision)


def test_a_compiler_that_fails_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "broken++"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] || { echo 'a.h: fatal error: no such thing' >&2; exit 1; }\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ArgumentError, match="no such thing"):
        library.load_library.__wrapped__()
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a compiler that counts its calls, and copies what the real one made."""
    caplog.set_level(logging.INFO, "vov3d")
    built = Path(library.load_library()._name)
    compiler = tmp_path / "counting++"
    out = len(library.FLAGS) + 2  # the word after -o
    compiler.write_text(
        f'#!/bin/sh\n[ $1 = --version ] && exit\necho once >> {tmp_path}/calls\ncp {built} "${{{out}}}"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        library.load_library.__wrapped__()
    assert (tmp_path / "calls").read_text() == "once\n"
    assert caplog.messages == [f"compiling the native kernel into {str(tmp_path / 'cache/vov3d/native')!r}"]
    (kept,) = (tmp_path / "cache").rglob("*.so")
    os.utime(kept, (0, 0))
    library.load_library.__wrapped__()
    assert kept.stat().st_mtime > time.time() - 60, "it counts as used"
    whole = kept.read_bytes()
    for spoilt in (whole[:5000], b"", whole[:-1000] + bytes(1000)):  # the first would end this process
        kept.unlink()
        kept.write_bytes(spoilt)
        library.load_library.__wrapped__()
        assert len(kept.read_bytes()) == len(whole)
    assert (tmp_path / "calls").read_text() == "once\n" * 4


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""  # which is all that is left until it is waited for
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_compiler_ends_with_the_process_that_wants_it(number: signal.Signals, tmp_path: Path) -> None:
    compiler, started, kept = tmp_path / "slow++", tmp_path / "started", tmp_path / "cache" / "kernel.so"
    compiler.write_text(f"#!/bin/sh\n: > $TMPDIR/part.s\nsleep 60 &\necho $! > {started}\nwait\n")
    compiler.chmod(0o755)
    process = multiprocessing.get_context("fork").Process(target=library._compile, args=(str(compiler), kept))
    process.start()
    deadline = time.monotonic() + 10
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid or 0, number)
    process.join()
    while is_running(int(started.read_text())):
        assert time.monotonic() < deadline, "what the compiler started goes on"
        time.sleep(0.01)
    left = {path.name for path in kept.parent.iterdir()} - {"lock"}
    assert left == (set() if number == signal.SIGINT else {"unfinished"})
    out = len(library.FLAGS) + 2
    compiler.write_text(f"#!/bin/sh\nprintf '\\177ELF' > \"${{{out}}}\"\n")
    library._compile(str(compiler), kept)
    assert {path.name for path in kept.parent.iterdir()} - {"lock"} == {"kernel.so"}


def test_a_compiler_that_makes_nothing_is_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ArgumentError, match="true could not compile the native kernel: no word"):
        library.load_library.__wrapped__()


def test_a_blank_name_of_a_compiler_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    usual = library._compiler()
    monkeypatch.setenv("CXX", "  ")
    assert library._compiler() == usual
