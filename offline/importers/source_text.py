"""Text of a source file in blocks of whole lines: UTF-8, plain or compressed with gzip, bzip2, xz or Zstandard."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from models.errors import DatasetError
from offline.dataset.table import first_line, shown
from offline.dataset.text.zstandard import zstd

Progress = Callable[[str, int, int | None], None]
"""called with a step, what is done of it and the whole, which is None if unknown"""

BLOCK = 1 << 23
"""bytes of a block"""

_MARK = "\ufeff"
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError)


def quiet(step: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


@contextmanager
def opened(path: Path, progress: Progress = quiet) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file; its first bytes say how it is compressed. Reports the bytes read of the file.

    Raises DatasetError if it cannot be read, inside the block too.
    """
    try:
        with path.open("rb") as raw:
            magic = raw.read(6)
            raw.seek(0)
            total = path.stat().st_size
            with _decompressed(raw, magic) as file:
                yield cast("BinaryIO", _Watched(file, raw, lambda done: progress(f"reading {path.name}", done, total)))
    except _UNREADABLE as error:
        raise DatasetError(f"{path} cannot be read: {first_line(error) or type(error).__name__}") from error


def text_blocks(path: Path, progress: Progress = quiet) -> Iterator[tuple[int, str]]:
    """Yields the number of the first line of a block, from 1, and the block, which ends with a whole line.

    Raises DatasetError if the file cannot be read, or with the line that is not UTF-8.
    """
    line, rest = 1, b""
    with opened(path, progress) as file:
        while chunk := file.read(BLOCK):
            whole, newline, tail = (rest + chunk).rpartition(b"\n")
            rest = tail
            if newline:
                text = _decoded(path, line, whole + newline)
                yield line, text.removeprefix(_MARK) if line == 1 else text
                line += text.count("\n")
        if rest:
            text = _decoded(path, line, rest)
            yield line, text.removeprefix(_MARK) if line == 1 else text


def first_lines(path: Path, count: int) -> list[str]:
    """The first lines of a file without their ends. Raises DatasetError like `text_blocks`."""
    with opened(path) as file:
        raw = [file.readline(BLOCK) for _ in range(count)]
    lines = [_decoded(path, number, one) for number, one in enumerate(raw, start=1) if one]
    return [line.rstrip("\r\n").removeprefix(_MARK) for line in lines]


def _decompressed(raw: BinaryIO, magic: bytes) -> BinaryIO:
    if magic.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.open(raw))
    if magic.startswith(b"BZh"):
        return cast("BinaryIO", bz2.open(raw))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast("BinaryIO", lzma.open(raw))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return cast("BinaryIO", zstd.open(raw))
    return raw


class _Watched:
    """A file whose reads are reported by the position in the file underneath."""

    def __init__(self, file: BinaryIO, raw: BinaryIO, report: Callable[[int], None]) -> None:
        self._file, self._raw, self._report = file, raw, report

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._report(self._raw.tell())
        return content

    def readline(self, size: int = -1) -> bytes:
        return self._file.readline(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


def _decoded(path: Path, line: int, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        number = line + before.count(b"\n")
        bad = content[before.rfind(b"\n") + 1 :].split(b"\n", 1)[0]
        raise DatasetError(f"{path}, line {number}: not UTF-8: {shown(bad)}") from error
