"""The parameters of GET /pymk/recommendations, read from the raw query string."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from models.errors import CorruptRecordError
from models.schema.columns import user_id_fault
from models.schema.vocabulary import UserId
from models.system.known_names import unknown_name
from service.recommend.cursor import NO_ONE, Cursor, owner_of
from service.recommend.query import DEFAULT_LIMIT, MOST, Query
from service.web.problems import ProblemError, invalid, invalid_all

PATH = "/pymk/recommendations"

_KNOWN = frozenset({b"user_id", b"limit", b"context", b"exclude", b"fields", b"cursor"})


def parse(query: bytes, contexts: Collection[str], default_context: str) -> Query:
    """The parameters of a percent-encoded query string.

    `exclude` and `fields` may be given several times. Their values are split at commas; that of `exclude` is taken
    whole too, so that an id with a comma can be excluded in an `exclude` of its own. Raises ProblemError 422, which
    names the parameters and what is allowed, and for one of another name the nearest.
    """
    given: dict[bytes, list[str]] = {}
    unknown: list[str] = []
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if b"%" in name or b"+" in name:
            name = unquote_to_bytes(name.replace(b"+", b" "))
        if name in _KNOWN:
            given.setdefault(name, []).append(_decoded(name, value))
        elif name:
            unknown.append(name.decode(errors="replace"))
    try:
        if unknown:
            raise invalid(unknown[0], "is unknown")
        asked = Query(
            _user_id(_only(given, b"user_id")),
            _limit(_only(given, b"limit")),
            _context(_only(given, b"context"), contexts, default_context),
            _excluded(given[b"exclude"]) if b"exclude" in given else (),
            _fields(given[b"fields"]) if b"fields" in given else (),
            _cursor(_only(given, b"cursor")) if b"cursor" in given else None,
        )
    except ProblemError as first:
        raise _every_fault(given, unknown, contexts) from first
    return asked if asked.cursor is None else _owned(asked, asked.cursor)


def _every_fault(given: dict[bytes, list[str]], unknown: list[str], contexts: Collection[str]) -> ProblemError:
    """One problem that names everything that is wrong with the parameters."""
    checks: tuple[Callable[[], object], ...] = (
        lambda: _user_id(_only(given, b"user_id")),
        lambda: _limit(_only(given, b"limit")),
        lambda: _context(_only(given, b"context"), contexts, ""),
        lambda: _excluded(given.get(b"exclude", [])),
        lambda: _fields(given[b"fields"]) if b"fields" in given else (),
        lambda: _cursor(_only(given, b"cursor")) if b"cursor" in given else None,
    )
    known = [name.decode() for name in _KNOWN]
    faults = [(name, "query", unknown_name(name, "parameter of this route", known)) for name in unknown]
    for check in checks:
        try:
            check()
        except ProblemError as problem:
            faults += [(fault["parameter"], fault["in"], fault["detail"]) for fault in problem.members["errors"]]
    return invalid_all(faults)


def _decoded(name: bytes, value: bytes) -> str:
    if b"%" in value or b"+" in value:
        value = unquote_to_bytes(value.replace(b"+", b" "))
    try:
        return value.decode()
    except UnicodeDecodeError:
        _refuse(name, "must be UTF-8, percent-encoded")


def _only(given: dict[bytes, list[str]], name: bytes) -> str | None:
    values = given.get(name)
    if values is None:
        return None
    if len(values) > 1:
        _refuse(name, "must be given once")
    return values[0]


def _user_id(value: str | None) -> UserId:
    if value is None:
        raise invalid("user_id", "is missing; it names the viewer of the list")
    if fault := user_id_fault(value):
        raise invalid("user_id", f"{fault}; it must be 1-128 bytes without control characters")
    return UserId(value)


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(MOST)) and 1 <= int(value) <= MOST):
        raise invalid("limit", f"must be a whole number from 1 to {MOST}")
    return int(value)


def _context(value: str | None, contexts: Collection[str], default: str) -> str:
    if value is None:
        return default
    if value not in contexts:
        raise invalid("context", f"must be one of {', '.join(sorted(contexts))}")
    return value


def _excluded(values: list[str]) -> tuple[str, ...]:
    ids = [part for value in values for part in value.split(",") if part]
    if len(ids) > MOST:
        raise invalid("exclude", f"names {len(ids)} people; at most {MOST} are allowed")
    if any(user_id_fault(user_id) for user_id in ids):
        raise invalid("exclude", "must be user ids of 1-128 bytes without control characters, separated by commas")
    return tuple(dict.fromkeys([*ids, *(value for value in values if "," in value)]))


def _fields(values: list[str]) -> tuple[str, ...]:
    """The columns named; which exist depends on the version."""
    columns = [part for value in values for part in value.split(",") if part]
    if not columns:
        raise invalid("fields", "names no column; separate columns by commas")
    return tuple(dict.fromkeys(columns))


def _cursor(value: str | None) -> Cursor:
    """The pages before; an empty value has none."""
    try:
        return Cursor.unpack(value) if value else Cursor(NO_ONE)
    except CorruptRecordError as error:
        raise invalid("cursor", "is none that this service gave; leave it empty for the first page") from error


def _owned(query: Query, cursor: Cursor) -> Query:
    """The query with a cursor of its viewer and context. Raises ProblemError 422 if the cursor is of others."""
    owner = owner_of(query.user_id, query.context)
    if cursor.owner not in {NO_ONE, owner}:
        raise invalid("cursor", "is of another viewer or context; leave it empty for the first page")
    return query._replace(cursor=replace(cursor, owner=owner))


def check_fields(columns: Iterable[str], fault_of: Callable[[str], str | None], place: str = "query") -> None:
    """Returns if entries can show these columns. Raises ProblemError 422 that says of each other why not."""
    faults = [("fields", place, f"{column} {fault}") for column in columns if (fault := fault_of(column))]
    if faults:
        raise invalid_all(faults)


def _refuse(name: bytes, detail: str) -> NoReturn:
    raise invalid(name.decode(), detail)
