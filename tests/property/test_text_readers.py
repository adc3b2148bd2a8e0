"""Every text reader says what a strict one says of a file, or refuses it with file, line and value.

Many more files than by default:

    PYMK_ODD_FILES=20000 pytest -s tests/property/test_text_readers.py
"""

import gzip
import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from models.errors import DatasetError
from offline.dataset.table import RECORD, Shape, Table
from offline.dataset.text import blocks
from offline.dataset.text.csv_table import CsvTable
from offline.dataset.text.jsonl_table import JsonlTable
from offline.dataset.text.settings import CsvSettings, Dialect
from tests.support.offline.odd_files import RefusedError, Rows, odd_csv, odd_jsonl, strict_csv, strict_jsonl

FILES = int(os.environ.get("PYMK_ODD_FILES", "600"))
"""half of them CSV"""
DIALECTS = (
    *[(CsvSettings(), Dialect(delimiter)) for delimiter in (",", ",", ",", ";", "\t")],
    (CsvSettings(escape="\\"), Dialect(",", escape="\\")),
    (CsvSettings(quote=None), Dialect(",", None)),
    (CsvSettings(delimiter="|", quote="'"), Dialect("|", "'")),
)
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
NO_LINE = re.compile(r"\.csv[.a-z]* is empty: ")
"""of a file without a header, the only one that is refused as a whole"""


def test_odd_files_are_read_as_by_a_strict_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counter(check(tmp_path, monkeypatch, number) for number in range(FILES))
    print(dict(counted))  # noqa: T201 - the figures of a long run, with -s
    assert {"csv read", "csv refused", "jsonl read", "jsonl refused"} == counted.keys()
    assert min(counted.values()) > FILES / 20, "one of the outcomes hardly ever happened"


def check(directory: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> str:
    """Draws the file of a number, reads it both ways and compares; says what became of it."""
    draw = random.Random(number)
    suffix = draw.choice(("", "", ".gz", ".zst"))
    monkeypatch.setattr(blocks, "BLOCK", draw.choice((7, 40, 4 << 20)))
    if number % 2:
        settings, dialect = draw.choice(DIALECTS)
        content = odd_csv(draw, dialect)
        table: Table = CsvTable(directory / f"users.csv{suffix}", settings)
        expected = lambda: csv_rows(content, dialect)  # noqa: E731
        read = lambda: read_csv(table, dialect)  # noqa: E731
    else:
        content = odd_jsonl(draw)
        table = JsonlTable(directory / f"users.jsonl{suffix}")
        expected = lambda: jsonl_rows(content)  # noqa: E731
        read = lambda: read_jsonl(table)  # noqa: E731
    table.path.write_bytes(PACKED[suffix](content))
    form = table.path.name.split(".")[1]
    try:
        right = expected()
    except RefusedError as refusal:
        try:
            taken = read()
        except DatasetError as error:
            assert_says_where(error, table.path)
            return f"{form} refused"
        pytest.fail(f"file {number}: read as {taken} what a strict reader refuses ({refusal}): {content!r}")
    try:
        found = read()
    except DatasetError as error:
        pytest.fail(f"file {number}: {error}, where a strict reader reads {right}: {content!r}")
    assert found == right, f"file {number}: {content!r}"
    return f"{form} read"


def assert_says_where(error: DatasetError, path: Path) -> None:
    message = str(error)
    assert "\n" not in message
    if not NO_LINE.search(message):
        assert re.match(rf"{re.escape(str(path))}, line \d+(, column .+)?: .+", message), message


def csv_rows(content: bytes, dialect: Dialect) -> tuple[list[str], Rows]:
    header, rows = strict_csv(content, dialect)
    if "user_id" not in header:
        raise RefusedError("no user_id")
    return header, rows


def read_csv(table: Table, dialect: Dialect) -> tuple[list[str], Rows]:
    """Header and rows; the mark of a cell without a value as the csv module reads it, which does not know it."""
    table.require("user_id")
    header = list(table.shapes())
    rows = table.collect(table.rows(header))
    assert rows[RECORD].is_sorted()
    mark = None if dialect.escape is None else f"{dialect.escape}N"
    return header, [["N" if mark and cell == mark else cell for cell in row] for row in rows.drop(RECORD).iter_rows()]


def jsonl_rows(content: bytes) -> list[dict[str, Any]]:
    """By row, the text of every column of plain values; its lists, of every column of lists; None where missing."""
    rows = strict_jsonl(content)
    columns = {
        column: [row.get(column) for row in rows] for column in dict.fromkeys(name for row in rows for name in row)
    }
    expected = [{} for _ in rows]
    for column, values in columns.items():
        filled = [value for value in values if value is not None]
        nested = [one for value in filled for one in (value if isinstance(value, list) else [value])]
        if any(isinstance(one, (dict, list)) for one in nested):
            continue
        lists = bool(filled) and all(isinstance(value, list) for value in filled)
        for row, value in zip(expected, values, strict=True):
            row[column] = [text(one) for one in value] if lists and value is not None else (text(value) or None)
    if "user_id" in columns and any(isinstance(value, (list, dict)) for value in columns["user_id"]):
        raise RefusedError("an id is a list")
    return expected


def read_jsonl(table: Table) -> list[dict[str, Any]]:
    shapes = table.shapes()
    plain = [column for column, shape in shapes.items() if shape is not Shape.OTHER or column == "user_id"]
    return table.collect(table.rows(plain)).drop(RECORD).to_dicts()


def text(value: Any) -> str | None:
    """A value as a CSV file would hold it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
