"""The audit trail: who switched, approved, rejected or overrode what, when and why. Entries are never changed."""

import getpass
import socket
from bisect import insort
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError
from models.publishing.pointer import ActivePointer, read_pointer
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.store.transaction import Append, Commit

Action = Literal[
    "published",
    "activated",
    "rolled_back",
    "waiting",
    "approved",
    "rejected",
    "forced",
    "canary_started",
    "canary_stepped",
    "canary_promoted",
    "canary_aborted",
    "canary_rolled_back",
    "canary_superseded",
    "experiment_started",
    "experiment_stopped",
]
MOST = 10_000
"""entries that are kept; a tenth more, and the oldest are dropped"""
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and why."""

    who: str
    note: str | None = None

    @classmethod
    def here(cls, note: str | None = None) -> "Actor":
        """The user of this process and its host."""
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            name = "unknown"
        return cls(f"{name}@{socket.gethostname()}", note)


class AuditEntry(BaseModel):
    """One action."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    who: str
    """user@host of a command, or the name of an API key"""
    what: Action
    version: str
    """of an experiment: the version that was active; empty if there was none"""
    before: str | None = None
    """of a switch: the version that was served until then"""
    note: str | None = None
    """why; of an experiment its name"""


def write_audit(
    store: SyncStore,
    keys: Keys,
    what: Action,
    version: str,
    by: Actor,
    *,
    before: str | None = None,
    once_at: datetime | None = None,
) -> None:
    """Appends an entry; with `once_at` as of that time, unless there is one."""
    at = once_at or datetime.now(UTC)
    entry = AuditEntry(at=at, who=by.who, what=what, version=version, before=before, note=by.note)
    if once_at is None or all(
        (one.what, one.version, one.at) != (what, version, once_at) for one in _stored(store, keys)
    ):
        _append(store, keys, entry)


def note_switch(store: SyncStore, keys: Keys, pointer: ActivePointer) -> None:
    """Writes the entry of the switch that a pointer says, unless the trail has it."""
    if (missing := _missing_switch(_stored(store, keys), pointer)) is not None:
        _append(store, keys, missing)


def _append(store: SyncStore, keys: Keys, entry: AuditEntry) -> None:
    store.commit([Commit(appends=[Append(keys.audit, entry.model_dump_json().encode())])])
    if store.stream_length(keys.audit) > MOST + MOST // 10:
        positions = [position for position, _ in store.stream_read(keys.audit, STREAM_START, MOST // 10)]
        store.stream_trim(keys.audit, positions[-1])


def write_audit_once(store: SyncStore, keys: Keys, what: Action, version: str, by: Actor) -> None:
    """Appends an entry, if none says the same of this version with the same note."""
    told = {entry.note for entry in read_audit(store, keys) if (entry.what, entry.version) == (what, version)}
    if by.note not in told:
        write_audit(store, keys, what, version, by)


def read_audit(store: SyncStore, keys: Keys) -> list[AuditEntry]:
    """All entries, newest first; one that cannot be read is left out.

    The switch of the pointer is among them, even if the process died that should have written its entry.
    """
    entries = _stored(store, keys)
    with suppress(CorruptRecordError):  # whoever switches is told
        pointer = read_pointer(store, keys=keys)
        if pointer is not None and (missing := _missing_switch(entries, pointer)) is not None:
            insort(entries, missing, key=lambda entry: entry.at)
    return entries[::-1]


def _missing_switch(entries: Sequence[AuditEntry], pointer: ActivePointer) -> AuditEntry | None:
    """The entry of a pointer's switch, if the trail should have it and does not; `entries` are oldest first."""
    switch, at = pointer.switch, pointer.activated_at
    if switch is None or (len(entries) >= MOST and at < entries[0].at):  # dropped since
        return None
    if any((entry.at, entry.what, entry.version) == (at, switch.what, pointer.version) for entry in entries):
        return None
    return AuditEntry(at=at, version=pointer.version, **switch.model_dump())


def _stored(store: SyncStore, keys: Keys) -> list[AuditEntry]:
    """The entries in the store, oldest first."""
    found, position = list[AuditEntry](), STREAM_START
    while read := store.stream_read(keys.audit, position, _AT_ONCE):
        position = read[-1][0]
        for _, content in read:
            try:
                found.append(AuditEntry.model_validate_json(content))
            except ValidationError:
                continue
    return found
