"""JSON that all readers take alike: no key twice in an object, finite numbers, whole characters, no U+0000."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

DEEPEST = 500
"""levels of lists and objects inside one another"""
_WHITE_SPACE = b" \t\r\n"


@dataclass
class JsonFaultError(ValueError):
    """A text that is no JSON, or whose readers would disagree."""

    fault: str
    key: str | None = None
    """the key nearest to the fault, if there is one"""
    value: Any = None
    """the value of that key; for a key that stands twice, the list of its values"""

    def __str__(self) -> str:
        return self.fault if self.key is None else f"{self.key!r} {self.fault}"


@dataclass(frozen=True)
class NotFinite:
    """A number as it is written that no float holds: NaN, Infinity, 1e400."""

    text: str

    def __repr__(self) -> str:
        return self.text


def loads(text: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises JsonFaultError.

    Whole numbers beyond 64 bits become floats, and texts may contain U+0000.
    """
    value, is_clear = glance(text)
    if not is_clear:
        loads_exactly(text)
    return value


def glance(text: bytes) -> tuple[Any, bool]:
    """The value of a JSON text, and whether no key stands twice; if not, only `loads_exactly` knows.

    Raises JsonFaultError if it is no JSON.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise JsonFaultError(str(error)) from error
    return value, has_pairs(text, _shallow_keys(value))


def has_pairs(text: bytes, keys: int) -> bool:
    """Whether a JSON text whose value has so many keys can have no more pairs than that, so that no key stands twice.

    Every pair has a colon, and before it, but for white space, the quotation mark of its key.
    """
    return text.count(b":") == keys or text.translate(None, _WHITE_SPACE).count(b'":') == keys


def loads_exactly(text: bytes) -> Any:
    """Like `loads`, but ten times slower: numbers are exact, U+0000 is refused, a fault names its key and value."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=NotFinite, parse_float=_finite)
        _check(None, value, 0)
    except JsonFaultError:
        raise
    except RecursionError as error:
        raise JsonFaultError("is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise JsonFaultError(f"{error.msg}, at character {error.pos + 1}") from error
    except UnicodeDecodeError as error:
        raise JsonFaultError(f"not UTF-8, at byte {error.start + 1}") from error
    except ValueError as error:  # of a number with thousands of digits
        raise JsonFaultError(str(error)) from error
    return value


def _shallow_keys(value: Any) -> int:
    """The keys of an object, or of the objects in a list, without those of nested objects."""
    if isinstance(value, dict):
        return len(value)
    return sum([len(one) for one in value if type(one) is dict]) if isinstance(value, list) else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        values = [value for key, value in pairs if key == twice]
        raise JsonFaultError("are the values of a key that stands twice", twice, values)
    return found


def _finite(text: str) -> float | NotFinite:
    number = float(text)
    return number if math.isfinite(number) else NotFinite(text)


def _check(key: str | None, value: Any, depth: int) -> None:
    """Raises JsonFaultError for a value that JSON readers do not agree about."""
    if depth > DEEPEST:
        raise JsonFaultError("is nested too deeply", key)
    if isinstance(value, str):
        if "\0" in value:
            raise JsonFaultError("contains U+0000", key, value)
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise JsonFaultError("contains half of a surrogate pair, which is no character", key, value)
    elif isinstance(value, NotFinite):
        raise JsonFaultError("is not a finite number", key, value)
    elif isinstance(value, list):
        for one in value:
            _check(key, one, depth + 1)
    elif isinstance(value, dict):
        for name, one in value.items():
            _check(name, name, depth + 1)
            _check(name, one, depth + 1)
