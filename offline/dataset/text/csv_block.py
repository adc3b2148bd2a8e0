"""Blocks of CSV into columns, whole blocks at a time.

The line ends and delimiters that count are found here, by the parity of quotation marks; Polars only splits at bytes
that stand for nothing else. What is out of the ordinary is left to the scanner, which reads cell by cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offline.dataset.table import RECORD
from offline.dataset.text.settings import Dialect

LF, CR = b"\n\r"
CELL_END, RECORD_END = 0x1F, 0x1E
"""the separators that Polars splits a block with quotation marks at; a block that holds them is scanned"""


@dataclass(frozen=True)
class CsvLayout:
    """What is the same for all blocks of a file."""

    dialect: Dialect
    header: Sequence[str]


def columns_of(block: bytes, line: int, layout: CsvLayout, wanted: Sequence[str]) -> tuple[pl.DataFrame, int] | None:
    """The records of a block that are whole, and how many bytes they take; None if the block has to be scanned.

    The block begins at a line of the file and ends in a line end. The frame has RECORD (UInt32, the line at which the
    record begins) and the wanted columns as String, null if empty; empty lines, and rows of empty cells, are left out.
    """
    quote, escape = (mark.encode() if mark else None for mark in (layout.dialect.quote, layout.dialect.escape))
    if b"\0" in block or (escape and escape in block) or not _is_utf8(block):
        return None
    found = _quoted(block, line, layout) if quote and quote in block else _unquoted(block, line, layout)
    if found is None:
        return None
    text, lines, used, separators = found
    frame = _split(text, separators, layout.header, wanted)
    return pl.DataFrame([pl.Series(RECORD, lines, dtype=pl.UInt32), *frame.get_columns()]), used


_Found = tuple[bytes, NDArray[np.int64], int, bytes]
"""the text, the line of each record in it, the bytes of the block that it stands for, its two separators"""


def _unquoted(block: bytes, line: int, layout: CsvLayout) -> _Found | None:
    """A block without quotation marks."""
    text = block
    while b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    if b"\r" in text:
        return None
    delimiter = layout.dialect.delimiter.encode()
    separators = delimiter + b"\n"
    if text.startswith(b"\n") or b"\n\n" in text:
        symbols = np.frombuffer(text, np.uint8)
        ends = symbols == LF
        empty = ends & _after(ends, first=True)
        lines = line + np.flatnonzero(~empty[ends])
        text = symbols[~empty].tobytes()
    else:
        lines = line + np.arange(text.count(b"\n"))
    checked = _of_width(text, lines, separators, len(layout.header))
    return checked and (*checked, len(block), separators)


def _quoted(block: bytes, line: int, layout: CsvLayout) -> _Found | None:
    """A block with quotation marks: without those around cells, single where they were doubled, with own separators."""
    if bytes((CELL_END,)) in block or bytes((RECORD_END,)) in block:
        return None
    quote, delimiter = ord(layout.dialect.quote or ""), ord(layout.dialect.delimiter)
    symbols = np.frombuffer(block, np.uint8)

    # which bytes stand between quotation marks, up to the last record that is whole
    marks = symbols == quote
    inside = np.bitwise_xor.accumulate(marks.view(np.uint8)).view(np.bool_)
    ends = (symbols == LF) & ~inside
    if not ends.any():
        return b"", np.zeros(0, np.int64), 0, bytes((CELL_END, RECORD_END))
    used = len(block) - int(np.argmax(ends[::-1]))
    symbols, marks, inside, ends = symbols[:used], marks[:used], inside[:used], ends[:used]

    # every quotation mark begins a cell, ends one, or is one of two
    opening, closing = marks & inside, marks & ~inside
    begins = (symbols == delimiter) & ~inside | ends
    returns = (symbols == CR) & ~inside
    if np.any(opening & ~(_after(begins, first=True) | _after(closing, first=False))):
        return None
    if np.any(closing & _after((symbols == CR) & inside, first=False)):
        return None  # Polars drops a carriage return at the end of a row
    if np.any(closing & ~_before(begins | returns | opening)) or np.any(returns & ~_before(ends | returns)):
        return None

    # the line of each record, then the text that Polars splits
    lines_before = np.cumsum(symbols == LF)[ends]
    lines = line + np.concatenate(([0], lines_before[:-1]))
    written = np.where(begins, np.where(ends, np.uint8(RECORD_END), np.uint8(CELL_END)), symbols)
    kept = ~(marks | returns) | (opening & _after(closing, first=False))
    visible = ~returns
    empty = np.zeros(len(written), np.bool_)
    empty[visible] = ends[visible] & _after(ends[visible], first=True)
    kept &= ~empty
    separators = bytes((CELL_END, RECORD_END))
    checked = _of_width(written[kept].tobytes(), lines[~empty[ends]], separators, len(layout.header))
    return checked and (*checked, used, separators)


def _of_width(
    text: bytes, lines: NDArray[np.int64], separators: bytes, width: int
) -> tuple[bytes, NDArray[np.int64]] | None:
    """The records, without those of empty cells; None if one has more or fewer cells than the header."""
    symbols = np.frombuffer(text, np.uint8)
    cell_end, record_end = separators
    at = np.flatnonzero((symbols == cell_end) | (symbols == record_end))
    if len(at) != len(lines) * width:
        return None
    places = at.reshape(-1, width)
    if np.any(symbols[places[:, :-1]] != cell_end) or np.any(symbols[places[:, -1]] != record_end):
        return None
    ends = places[:, -1]
    filled = np.diff(ends, prepend=-1) != width
    if filled.all():
        return text, lines
    rows = np.repeat(filled, np.diff(ends, prepend=-1))
    return symbols[rows].tobytes(), lines[filled]


def _split(text: bytes, separators: bytes, header: Sequence[str], wanted: Sequence[str]) -> pl.DataFrame:
    """The wanted columns of a text whose separators are unambiguous; an empty cell is null."""
    if not wanted:
        return pl.DataFrame()
    places = sorted({header.index(column) for column in wanted})
    names = [str(number) for number in range(len(header))]
    cell_end, record_end = separators[:1].decode(), separators[1:].decode()
    # a header of its own keeps Polars from taking the first bytes for the mark of a compressed file
    head = cell_end.join(names) + record_end
    frame = pl.read_csv(
        head.encode() + text,
        columns=places,
        separator=cell_end,
        eol_char=record_end,
        quote_char=None,
        infer_schema=False,
    )
    return frame.select(pl.col(str(header.index(column))).alias(column) for column in wanted)


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _after(mask: NDArray[np.bool_], *, first: bool) -> NDArray[np.bool_]:
    """Whether the byte before each is one of the mask; `first` is what holds of the first byte."""
    shifted = np.empty_like(mask)
    shifted[:1] = first
    shifted[1:] = mask[:-1]
    return shifted


def _before(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the byte after each is one of the mask."""
    shifted = np.zeros_like(mask)
    shifted[:-1] = mask[1:]
    return shifted
