"""Log lines on stderr: coloured on a terminal, one JSON object a line elsewhere."""

import hashlib
import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import orjson
import structlog

from models.system.buffered_log import BufferedLog
from models.system.unblocked_output import unblock_stderr


def configure(*, debug: bool = False, json: bool | None = None, quiet: bool = False) -> None:
    """Sends structlog and the standard library's logging to stderr; commands call it once, before anything else.

    `json` None: JSON unless stderr is a terminal. Without `debug`, lines below INFO are dropped; `quiet`, those below
    WARNING. Lines of other libraries below WARNING are always dropped, since some write thousands.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        _add_time,
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_encode)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at")]
    )
    least = logging.WARNING if quiet else logging.DEBUG if debug else logging.INFO
    buffered, processors = BufferedLog(sys.stderr), [*shared, *last]
    _direct.lines, _direct.processors = buffered if as_json and least <= logging.INFO else None, processors
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=(lambda *_: buffered) if as_json else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


class _Direct:
    """Where a RequestLogger writes past structlog, if it does what the processors there do."""

    lines: BufferedLog | None = None
    processors: Sequence[structlog.typing.Processor] = ()
    """those of `configure`; whoever captures lines puts another in their place"""


_direct = _Direct()


class RequestLogger:
    """Logs as a logger of structlog does; a line of level INFO, of which every request has one, takes half the time."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    def info(self, event: str, **facts: object) -> None:
        """Logs what happened."""
        if _direct.lines is None or _direct.processors[0] is not structlog.stdlib.add_log_level:
            self._log.info(event, **facts)
            return
        facts["event"], facts["level"] = event, "info"
        _direct.lines.msg(_encode(_add_time(None, "", facts)))

    def error(self, event: str, **facts: object) -> None:
        """Logs a fault; `exc_info` is its exception."""
        self._log.error(event, **facts)


def unblock() -> None:
    """Has lines dropped that nobody reads, instead of blocking; a process calls it when it starts, before `configure`.

    Once lines are read again, one line says how many were dropped.
    """

    def note(dropped: int) -> bytes:
        line = _add_time(None, "", {"event": "log_lines_dropped", "count": dropped, "level": "warning"})
        return _encode(line).encode() + b"\n"

    unblock_stderr(note)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """A second since 1970 as ISO 8601, UTC, without the Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def _add_time(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Adds the time of a line. structlog's TimeStamper takes three times as long, for every request."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    line["at"] = f"{_second(seconds)}.{rest // 1000:06}Z"
    return line


def _encode(line: object, **_: object) -> str:
    """JSON of a log line; values that JSON has no type for are written as their repr."""
    return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def user_hash(user_id: str, secret: str) -> str:
    """The name of a user in log lines: a hash of the id keyed with a secret, 16 hexadecimal digits.

    It is the same while the secret is the same. Without the secret, known ids cannot be matched with it by guessing.
    BLAKE2b in keyed mode (RFC 7693); keys longer than its 64 bytes are hashed first. Raises ValueError for an empty
    secret.
    """
    key = secret.encode()
    if not key:
        raise ValueError("a hash of user ids needs a secret")
    if len(key) > hashlib.blake2b.MAX_KEY_SIZE:
        key = hashlib.blake2b(key).digest()
    return hashlib.blake2b(user_id.encode(), digest_size=8, key=key).hexdigest()
