"""Files that programs and people write wrongly, drawn at random, and the strict readers that say what they hold."""

import csv
import io
import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from offline.dataset.text.settings import Dialect

Rows = list[list[str | None]]
HEADERS = (
    ("user_id", "other_id"),
    ("user_id", "*", "^c.*$"),
    ("user_id", "name", "about", "discoverable"),
    ("user_id",),
    ("company", "user_id"),
)
_PIECES = ("a", "b", "7", "é", "😀", " ", "|", "NULL", "x" * 40, "5", "true", "\\", "'", "_")
_ODD_IN_CSV = ('"', '""', ",", ";", "\t", "\n", "\r\n", "\r", '\\"', "\\", "\0", "\x1e", "\x1f", '"\n', '",', "\\N")
_ODD_IN_JSON = (
    *(
        '"',
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\\",
        " ",
        "\n",
        "\r",
        "\t",
        "\0",
        "null",
        "true",
        "NaN",
        "-Infinity",
        "1e400",
    ),
    *(
        "\\u0000",
        "\\ud83d",
        "\\ud83d\\ude00",
        "\\u00e9",
        '"user_id":"z"',
        '"user_id" : 1',
        "1.0",
        "12345678901234567890123",
    ),
)
_BROKEN = (b"\xff", b"\xed\xa0\xbd", b"\xc3", b"\x80")
"""bytes that are not UTF-8"""


class RefusedError(Exception):
    """What a strict reader says of a file that is not well formed."""


def odd_csv(draw: random.Random, dialect: Dialect) -> bytes:
    """A CSV file under one of HEADERS: well formed, or with a few characters that do not belong there."""
    header = draw.choice([one for one in HEADERS if len(one) > 1 or dialect.delimiter == ","])
    written = io.StringIO(newline="")
    writer = csv.writer(
        written,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        doublequote=dialect.escape is None,
        quoting=draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)) if dialect.quote else csv.QUOTE_NONE,
        lineterminator=draw.choice(("\n", "\r\n")),
    )
    cells_allowed = _PIECES if dialect.quote is None else _PIECES * 3 + ('"', ",", ";", "\n", "\r\n")
    for _ in range(draw.randint(0, 8)):
        cells = ["".join(draw.choices(cells_allowed, k=draw.randint(0, 3))) for _ in header]
        try:
            writer.writerow(cells)
        except csv.Error:  # what this dialect cannot write
            continue
    head = dialect.delimiter.join(header) + "\n"
    return _spoilt(draw, head.encode(), written.getvalue(), _ODD_IN_CSV, (0, 0, 1, 1, 1, 2, 3, 6))


def odd_jsonl(draw: random.Random) -> bytes:
    """A JSONL file: one object a line, or with a few characters that do not belong there."""
    lines = []
    for _ in range(draw.randint(0, 8)):
        row = {column: _value(draw, 0) for column in draw.choice(HEADERS) if draw.random() < 0.9}
        lines.append(
            json.dumps(row, ensure_ascii=draw.random() < 0.5, separators=draw.choice(((",", ":"), (" , ", " : "))))
        )
    return _spoilt(
        draw, b"", draw.choice(("\n", "\r\n", "\n\n")).join(lines) + "\n", _ODD_IN_JSON, (0, 0, 0, 0, 1, 1, 1, 2, 3)
    )


def _value(draw: random.Random, depth: int) -> Any:
    choice = draw.randint(0, 9 if depth < 2 else 7)
    plain: dict[int, Callable[[], Any]] = {
        3: lambda: draw.randint(-(10**21), 10**21),
        4: lambda: draw.choice((1.5, 3.0, -0.0, 1e300, 5e-324, 2.0**60)),
        5: lambda: draw.choice((True, False)),
        6: lambda: None,
        7: lambda: draw.choice(("a:b", 'say "x": y', "\u2028", "back\\slash")),
        8: lambda: [_value(draw, depth + 1) for _ in range(draw.randint(0, 3))],
        9: lambda: {key: _value(draw, depth + 1) for key in draw.sample("abc", draw.randint(0, 2))},
    }
    return plain[choice]() if choice in plain else "".join(draw.choices(_PIECES, k=draw.randint(0, 3)))


def _spoilt(draw: random.Random, head: bytes, text: str, odd: tuple[str, ...], times: tuple[int, ...]) -> bytes:
    for _ in range(draw.choice(times)):
        at = draw.randint(0, len(text))
        text = text[:at] + draw.choice(odd) + text[at + draw.choice((0, 0, 1)) :]
    content = head + text.encode()
    if draw.random() < 0.05:
        at = draw.randint(0, len(content))
        content = content[:at] + draw.choice(_BROKEN) + content[at:]
    if draw.random() < 0.1:
        content = content[: draw.randint(0, len(content))]
    return content if draw.random() < 0.9 else b"\xef\xbb\xbf" + content


def strict_csv(content: bytes, dialect: Dialect) -> tuple[list[str], Rows]:
    """Header and rows by the csv module, which is told to be strict; empty cells are None, rows of them left out.

    Raises RefusedError also for what that module lets pass: quotation marks in cells that are not quoted, U+0000, and
    rows that are wider or narrower than the header.
    """
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(
            [line + "\n" for line in text.split("\n")[:-1]] + [one for one in text.split("\n")[-1:] if one],
            strict=True,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            escapechar=dialect.escape,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        )
        rows = [row for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise RefusedError(str(error)) from error
    if not rows:
        raise RefusedError("no header")
    header = rows[0]
    if "" in header or len(set(header)) < len(header):
        raise RefusedError("bad header")
    if any(len(row) != len(header) for row in rows) or any("\0" in cell for row in rows for cell in row):
        raise RefusedError("wrong width, or U+0000")
    if dialect.quote and has_bare_quote(text, dialect):
        raise RefusedError("bare quotation mark")
    return header, [[cell or None for cell in row] for row in rows[1:] if any(row)]


def has_bare_quote(text: str, dialect: Dialect) -> bool:
    """Whether a cell of a text that the csv module accepts has a quotation mark without being quoted or escaped."""
    symbols = iter(text)
    begins, quoted, was_quoted = True, False, False
    for symbol in symbols:
        if symbol == dialect.escape:
            next(symbols, None)
            begins = False
        elif symbol == dialect.quote:
            if not quoted and not begins and not was_quoted:
                return True
            was_quoted, quoted = quoted, not quoted
            begins = False
            continue
        elif not quoted:
            begins = symbol in (dialect.delimiter, "\n", "\r")
        was_quoted = False
    return False


def strict_jsonl(content: bytes) -> list[dict[str, Any]]:
    """The objects of the lines by the json module, which is told to refuse what readers do not agree about."""
    return list(_strict_objects(content))


def _strict_objects(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip(b" \t\r\n"):
            continue
        try:
            row = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
            json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise RefusedError(str(error)) from error
        if not isinstance(row, dict) or "\\u0000" in json.dumps(row).replace("\\\\", ""):
            raise RefusedError("not an object, or U+0000")
        yield row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_constant(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)
