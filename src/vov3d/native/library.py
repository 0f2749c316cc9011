"""The kernel's C++ source, compiled on first use by the system's compiler and kept for later processes."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ctypes import POINTER, c_double, c_float, c_int, c_void_p
from pathlib import Path

from vov3d.errors import ArgumentError, visible
from vov3d.files import write_bytes

log = logging.getLogger("vov3d")

SOURCES = Path(__file__).parent / "kernel"
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-tree-pre",
    "-march=native",
    "-mtune=icelake-server",
    "-ffp-contract=fast",
    "-fPIC",
    "-shared",
    "-pthread",
    "-w",
)
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
NEEDED = {
    "fp32": ("avx2", "fma"),
    "bf16": (*AVX512, "avx512_bf16"),
    "int8": (*AVX512, "avx512_bf16", "avx512_vnni", "avx512vbmi"),
}
"""What a processor must have for a precision; float32 is computed with AVX-512 where all of it is there."""
COMPILERS = ("c++", "g++", "clang++")
ELF = b"\x7fELF"
VERSION_SECONDS, COMPILE_SECONDS = 60, 900  # a compiler that takes longer never ends; usual are 10 to 60 s
UNUSED_SECONDS = 90 * 24 * 3600
DIGEST_BYTES = hashlib.sha256().digest_size

ENDING_WITH_US = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null'
"""Runs a command as a shell does, and kills it, with all that it started, when whoever holds the other end of its stdin
is gone: a compiler is several processes, and this one may be killed."""

_AT = c_void_p  # values of some tensor
_SIGNATURES = {
    "vov3d_new": (c_void_p, [c_int]),
    "vov3d_delete": (None, [c_void_p]),
    "vov3d_stem": (c_int, [c_void_p, c_int, *[_AT] * 3]),
    "vov3d_unit": (c_int, [c_void_p, *[c_int] * 5, *[_AT] * 4, c_int, *[_AT] * 6, c_int]),
    "vov3d_pointwise": (c_int, [c_void_p, c_int, _AT, c_int, c_int, _AT, _AT, *[c_int] * 3]),
    "vov3d_run": (c_int, [c_void_p, _AT, *[c_int] * 4, _AT, c_int, POINTER(c_double)]),
}
_INT8_SIGNATURES = {
    "vov3d_int8_new": (c_void_p, []),
    "vov3d_int8_stem": (c_int, [c_void_p, c_int, *[_AT] * 3, c_float, c_float]),
    "vov3d_int8_unit": (
        c_int,
        [c_void_p, *[c_int] * 4, *[_AT] * 6, c_int, *[_AT] * 6, c_int, *[_AT] * 3, c_int, c_float],
    ),
    "vov3d_int8_pointwise": (c_int, [c_void_p, c_int, _AT, c_int, c_int, *[_AT] * 3, c_int, c_float, c_int]),
}


def unavailable(precision: str = "fp32") -> str | None:
    """Return why the kernel cannot run here, one line, or ``None`` if it can. Compiles nothing."""
    if precision not in NEEDED:
        return f"the native kernel has no precision {precision!r}; it has {', '.join(NEEDED)}"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the native kernel runs on Linux on x86-64 processors, not on {sys.platform} on {platform.machine()}"
    features = _cpu_features()
    lacking = [name for name in NEEDED[precision] if name not in features]
    if lacking:
        return f"the native kernel needs a processor with {', '.join(lacking)} in {precision}"
    if _compiler():
        return None
    named = os.environ.get("CXX", "").strip()
    found = f"; CXX is {named!r}, which is no program" if named else ""
    return f"the native kernel needs a C++ compiler: install g++ or clang++, or set CXX{found}"


@functools.cache
def load_library() -> ctypes.CDLL:
    """Compile the kernel unless a process before this one has, and load it.

    Raises:
        ArgumentError: it cannot be compiled; the line says what the compiler said.
    """
    compiler = _compiler()
    if compiler is None:
        raise ArgumentError(str(unavailable()))
    path = _place(f"{_fingerprint(compiler)}.so")
    try:
        if not _is_whole(path):
            _compile(compiler, path)
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ArgumentError(
            f"the native kernel cannot be kept in {str(path.parent)!r} ({error}); set XDG_CACHE_HOME to a folder that "
            "can be written to and run from"
        ) from error
    with suppress(OSError):
        os.utime(path)  # it is in use
    for name, (result, arguments) in {**_SIGNATURES, **_INT8_SIGNATURES}.items():
        function = getattr(library, name, None)  # an older compiler leaves out what it does not know
        if function is not None:
            function.restype, function.argtypes = result, arguments
            if result is c_int and name != "vov3d_run":
                function.errcheck = _number
    return library


def _number(made: int, _function: object, _arguments: object) -> int:
    """Refuse what stands for a failure in place of a map's number."""
    if made < 0:
        raise ArgumentError("no memory for the network in the native kernel")
    return made


def _compile(compiler: str, path: Path) -> None:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name("lock")):
        if _is_whole(path):
            return
        log.info("compiling the native kernel into %r", str(path.parent))
        folder = path.with_name("unfinished")
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir()
        try:
            library = _compiled(compiler, folder)
            write_bytes(path, library + hashlib.sha256(library).digest())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        _remove_unused(path.parent)


def _remove_unused(folder: Path) -> None:
    """Remove what no process has loaded for 90 days; those that run with it keep it."""
    for path in (*folder.glob("*.so"), *folder.glob("*.lock")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                path.unlink()


def _compiled(compiler: str, folder: Path) -> bytes:
    """Return the library; whatever the compiler writes, it writes into the folder."""
    out = folder / "network.so"
    words = [*FLAGS, "-o", str(out), str(SOURCES / "network.cpp")]
    done = _run(compiler, words, COMPILE_SECONDS, {"TMPDIR": str(folder)})
    library = out.read_bytes() if out.is_file() else b""
    if done.returncode or not library.startswith(ELF):
        errors = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no word"]
        )
        raise ArgumentError(f"{compiler} could not compile the native kernel: {visible(errors[0][:500])}")
    return library


def _run(
    compiler: str, words: Sequence[str], seconds: float, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a compiler that ends with this process, and after some time in any case."""
    theirs, ours = os.pipe()
    try:
        return subprocess.run(
            ["/bin/sh", "-c", ENDING_WITH_US, "sh", *compiler.split(), *words],
            stdin=theirs,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise ArgumentError(
            f"{compiler} could not compile the native kernel: it was not done after {seconds:g} s"
        ) from None
    finally:
        os.close(ours)
        os.close(theirs)


def _is_whole(path: Path) -> bool:
    """Whether a library ends in the digest of the rest: a part of one would end the process that loads it."""
    content = path.read_bytes() if path.is_file() else b""
    return hashlib.sha256(content[:-DIGEST_BYTES]).digest() == content[-DIGEST_BYTES:]


def _compiler() -> str | None:
    """The command that compiles C++: CXX, or the first of the usual names."""
    named = os.environ.get("CXX", "").strip()
    if named:
        return named if shutil.which(named.split()[0]) else None
    return next((name for name in COMPILERS if shutil.which(name)), None)


def _fingerprint(compiler: str) -> str:
    version = _run(compiler, ["--version"], VERSION_SECONDS, {}).stdout
    digest = hashlib.sha256()
    for text in (compiler, version, *FLAGS, *sorted(_cpu_features())):
        digest.update(text.encode() + b"\0")
    for source in sorted(SOURCES.iterdir()):
        if source.suffix in (".h", ".cpp"):
            digest.update(source.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _place(name: str) -> Path:
    """Where the kernel is kept: in a folder of this user's that nobody else can write to, or in one for this process.

    The kernel may be there already in a folder that cannot be written to, as in the image of a container.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 (raises nothing)
    folder = Path(base) / "vov3d" / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
        others = stat.S_IWGRP | stat.S_IWOTH
        is_ours = found.st_uid == os.getuid() and not found.st_mode & others
        if is_ours and (os.access(folder, os.W_OK) or _is_whole(folder / name)):
            return folder / name
    except OSError:
        pass
    log.warning(
        "the native kernel cannot be kept in %r, and is compiled for this process alone; set XDG_CACHE_HOME to a "
        "folder of yours",
        str(folder),
    )
    folder = Path(tempfile.mkdtemp(prefix="vov3d-native-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / name


@functools.cache
def _cpu_features() -> frozenset[str]:
    """What the processor can do, as Linux names it; nothing on other systems."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return frozenset()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
