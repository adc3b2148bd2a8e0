"""No state of the cache of compiled kernels stops a process or changes a result; the log says once what is amiss."""

import ast
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import models.kernels

ROOT = Path(models.kernels.__file__).parents[2]
NOBODY = 65534
SCRIPT = """
import sys
from models.system import logs
logs.configure()
from models.kernels.numba_cache import compiled

@compiled()
def twice(value):
    return value + value

@compiled()
def half(value):
    return value / 2

values = [float(one) if "." in one else int(one) for one in sys.argv[1:]]
results = [(twice(one), half(one)) for one in values]
print(results, sum(kernel.stats.cache_hits[types] for kernel in (twice, half) for types in kernel.stats.cache_hits))
"""


class Ran(NamedTuple):
    """What a process that calls two kernels said."""

    results: str
    read_back: int
    """kernels whose machine code was read"""
    said: list[str]
    """the events of its log"""


class Kernels:
    """A script with two kernels in a directory that others may enter, and the cache of their machine code."""

    def __init__(self, directory: Path) -> None:
        self.cache = directory / "cache"
        self.script = directory / "kernels.py"
        self.script.write_text(SCRIPT)

    def run(self, *values: str, **environment: str) -> Ran:
        own = {"PYTHONPATH": str(ROOT), "PATH": "", "NUMBA_CACHE_DIR": str(self.cache), **environment}
        command = [sys.executable, "-P", str(self.script), *(values or ("3",))]
        ended = subprocess.run(
            command, env=own, capture_output=True, text=True, check=False, timeout=60, preexec_fn=_without_privileges
        )
        assert ended.returncode == 0, ended.stderr
        results, _, read_back = ended.stdout.rstrip().rpartition(" ")
        return Ran(results, int(read_back), [json.loads(line)["event"] for line in ended.stderr.splitlines()])

    def file(self, kernel: str, ending: str) -> Path:
        (found,) = self.cache.rglob(f"*{kernel}-*.{ending}")
        return found

    def is_anothers(self, mode: int) -> None:
        """Makes somebody else the owner of the cache; for a user who may not, as good as that."""
        for path in (self.cache, *self.cache.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            else:
                mode &= 0o555
        self.cache.chmod(mode)


def _without_privileges() -> None:
    """Before the program of a child begins: root may not read or write what is another's (capabilities(7))."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails for others, who have none


THREE = "[(6, 1.5)]"


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Kernels(Path(directory))


def _altered(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "altered": _altered,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_compiled_anew_and_said_once(kernels: Kernels, damage: str) -> None:
    """The index of one kernel and the machine code of the other."""
    assert kernels.run() == Ran(THREE, 0, [])
    for path in (kernels.file("twice", "nbi"), kernels.file("half", "nbc")):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert kernels.run() == Ran(THREE, 0, ["kernels_compiled_anew"])
    assert kernels.run() == Ran(THREE, 2, [])


def test_code_that_stands_under_the_name_of_other_types_is_not_run(kernels: Kernels) -> None:
    """As after two processes that compiled for other types at once, and chose the same name."""
    assert kernels.run("3", "0.5").results == "[(6, 1.5), (1.0, 0.25)]"
    for kernel in ("twice", "half"):
        first, second = sorted(kernels.cache.rglob(f"*{kernel}-*.nbc"))
        whole, real = first.read_bytes(), second.read_bytes()
        first.write_bytes(real)
        second.write_bytes(whole)
    assert kernels.run("3", "0.5") == Ran("[(6, 1.5), (1.0, 0.25)]", 0, [])
    assert kernels.run("3", "0.5").read_back == 4


def test_an_index_of_a_release_without_digests_is_compiled_anew_in_silence(kernels: Kernels) -> None:
    kernels.script.write_text(SCRIPT.replace("from models.kernels.numba_cache import compiled", PLAIN))
    assert kernels.run() == Ran(THREE, 0, [])
    kernels.script.write_text(SCRIPT)
    assert kernels.run() == Ran(THREE, 0, [])


PLAIN = "import numba; compiled = lambda: numba.njit(cache=True)"


def test_two_processes_compile_at_once(kernels: Kernels) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(kernels.run, ["3", "0.5"]))
    assert [ran.results for ran in both] == [THREE, "[(1.0, 0.25)]"]
    assert [ran.said for ran in both] == [[], []]
    assert kernels.run("3", "0.5").results == "[(6, 1.5), (1.0, 0.25)]"
    assert kernels.run("3", "0.5") == Ran("[(6, 1.5), (1.0, 0.25)]", 4, [])


def test_without_any_directory_kernels_are_compiled_and_it_is_said_once(kernels: Kernels) -> None:
    """A checkout that is read-only, run by somebody without a home; Linux takes no file below /proc/self."""
    (kernels.script.parent / "__pycache__").write_text("no directory")
    for _ in range(2):
        assert kernels.run(NUMBA_CACHE_DIR="/proc/self/none", **NO_OTHER) == Ran(THREE, 0, ["kernels_not_kept"])


def test_a_damaged_file_that_cannot_be_replaced_is_compiled_by_every_process(kernels: Kernels) -> None:
    assert kernels.run() == Ran(THREE, 0, [])
    for path in kernels.cache.rglob("*.nbi"):  # nothing can be renamed to the name of a directory
        path.unlink()
        path.mkdir()
    for _ in range(2):
        assert kernels.run() == Ran(THREE, 0, ["kernels_compiled_anew", "kernels_not_kept"])


NO_OTHER = {"HOME": "/proc/self/none", "XDG_CACHE_HOME": "/proc/self/none"}


@pytest.mark.parametrize(("mode", "read_back", "said"), [(0o755, 2, []), (0o700, 0, ["kernels_not_kept"])])
def test_the_directory_of_another_user_is_read_if_it_can_be(
    kernels: Kernels, mode: int, read_back: int, said: list[str]
) -> None:
    assert kernels.run() == Ran(THREE, 0, [])
    (kernels.script.parent / "__pycache__").write_text("no directory")
    kernels.is_anothers(mode)
    assert kernels.run(**NO_OTHER) == Ran(THREE, read_back, said)


def test_a_damaged_file_of_another_user_is_compiled_by_every_process(kernels: Kernels) -> None:
    assert kernels.run() == Ran(THREE, 0, [])
    for path in kernels.cache.rglob("*.nbi"):
        path.write_bytes(b"")
    kernels.is_anothers(0o755)
    for _ in range(2):
        assert kernels.run(**NO_OTHER) == Ran(THREE, 0, ["kernels_compiled_anew", "kernels_not_kept"])


def test_a_full_disk_is_said_once(kernels: Kernels) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
    kernels.script.write_text(limit + SCRIPT)
    for _ in range(2):
        assert kernels.run() == Ran(THREE, 0, ["kernels_not_kept"])
    assert not [path for path in kernels.cache.rglob("*") if path.is_file() and path.stat().st_size]


COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass"}


def test_every_kernel_of_the_product_is_behind_the_one_cache() -> None:
    found = []
    for path in (path for package in ("models", "offline", "service") for path in (ROOT / package).rglob("*.py")):
        if path.name == "numba_cache.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba"):
                found += [f"{path}: {one.name}" for one in node.names if one.name in COMPILERS]
            if isinstance(node, ast.Attribute) and node.attr in COMPILERS and ast.unparse(node.value) == "numba":
                found.append(f"{path}: numba.{node.attr}")
    assert not found
