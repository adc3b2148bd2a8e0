"""The bytes of a text file, plain or compressed, a few megabytes at a time."""

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import shown
from offline.dataset.text.zstandard import zstd

BLOCK = 4 << 20
"""bytes that are read at once"""
GATHERED = 16
"""blocks that are parsed together"""
LONGEST = 64 << 20
"""bytes of a line, or of a CSV record"""
COMPRESSIONS = (".gz", ".zst")
DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def blocks(path: Path) -> Iterator[bytes]:
    """Yields the unpacked content in blocks of whole lines, without a byte order mark; the last line may lack its end.

    Raises DatasetError if the file cannot be read or unpacked, is UTF-16, or has a line that is longer than LONGEST.
    """
    rest, line, begun = b"", 1, False
    for piece in _pieces(path):
        if not begun and piece.startswith(UTF_16_MARKS):
            raise DatasetError(f"{path}, line 1: {shown(piece[:20])} is UTF-16: export it as UTF-8")
        content = piece if begun else piece.removeprefix(BYTE_ORDER_MARK)
        begun = True
        end = content.rfind(b"\n") + 1
        if not end:
            rest += content
            if len(rest) > LONGEST:
                raise DatasetError(f"{path}, line {line}: {shown(rest[:100])} is longer than {LONGEST >> 20} MiB")
            continue
        block = rest + content[:end]
        yield block
        line += block.count(b"\n")
        rest = content[end:]
    if rest:
        yield rest


def gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.LazyFrame]:
    """The frames of blocks, GATHERED of them joined: at least one, if there is any."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if len(held) == GATHERED:
            yield pl.concat(held, rechunk=False).lazy()
            held = []
    if held:
        yield pl.concat(held, rechunk=False).lazy()


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            while piece := file.read(BLOCK):
                yield piece
    except DAMAGES as error:
        raise DatasetError(f"{path} is damaged or cut short: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def _open(path: Path) -> BufferedIOBase:
    if path.suffix == ".gz":
        if not path.stat().st_size:
            raise EOFError("it has no bytes")  # gzip reads it as an empty file
        return gzip.open(path, "rb")
    return zstd.open(path, "rb") if path.suffix == ".zst" else path.open("rb")
