"""Entries that do not read back, kept for an operator: one file each, with their bytes, under PYMK_HOME/set-aside.

    set-aside/event-log-03-1764449123456-0    an entry of the log of shard 3, at this position
    set-aside/hidden-log-1764449123456-0      an entry of the hidden log

What is behind such an entry goes on. The names of those of the event log are in the store (Keys.set_aside) until
`pymk doctor --repair` has put the entry back, as it is or from live records, or its file was deleted.
"""

from collections.abc import Mapping
from pathlib import Path

import orjson

from models.system import disk, files

EVENT_LOG = "event-log"
HIDDEN_LOG = "hidden-log"


class SetAside:
    """The entries that were set aside in a home."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "set-aside"

    def keep(self, name: str, entry: bytes) -> None:
        """Keeps an entry and syncs it to disk. Raises DiskFullError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with disk.room(self.directory / name, len(entry), clear=self.directory.parent):
            files.write_bytes(self.directory / name, entry)

    def names(self) -> list[str]:
        """Those that are kept, sorted."""
        return sorted(path.name for path in self.directory.glob("*-log-*"))

    def read(self, name: str) -> bytes | None:
        """The bytes of an entry; None if its file was deleted."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Removes an entry that is kept no longer."""
        (self.directory / name).unlink(missing_ok=True)

    def forget(self, upto: Mapping[str, int]) -> list[str]:
        """Removes the entries that may name one of these users, up to a timestamp for each; returns their names.

        Whose time cannot be read is removed, whatever the timestamp: the bytes may be of the erased person.
        """
        removed = []
        for name in self.names():
            entry = self.read(name) or b""
            if names_any(entry, upto):
                self.remove(name)
                removed.append(name)
        return removed


def name_in_event_log(shard: int, position: str) -> str:
    """The name under which an entry of the event log is set aside."""
    return f"{EVENT_LOG}-{shard:02d}-{position}"


def shard_of_name(name: str) -> int:
    """The shard that the name of an entry of the event log says."""
    return int(name.removeprefix(f"{EVENT_LOG}-").split("-")[0])


def name_in_hidden_log(position: str) -> str:
    """The name under which an entry of the hidden log is set aside."""
    return f"{HIDDEN_LOG}-{position}"


def names_any(entry: bytes, upto: Mapping[str, int]) -> bool:
    """Whether bytes that are no entry may name one of these users, up to a timestamp for each."""
    try:
        timestamp_us = int(orjson.loads(entry)["stamp"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        timestamp_us = 0
    return any(timestamp_us <= at and orjson.dumps(user_id) in entry for user_id, at in upto.items())
