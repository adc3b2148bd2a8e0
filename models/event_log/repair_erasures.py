"""Rebuilds records of erasures that do not read back: an erasure whose record is lost would never be finished."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import orjson

from models.errors import CorruptRecordError
from models.event_log.event import ERASE
from models.event_log.repair import all_entries
from models.live_state.compaction import index_people, people_with_records
from models.live_state.erased_ids import damaged_times, hash_of
from models.live_state.erasure_receipts import Erasure, read_open
from models.live_state.timestamps import take_timestamp_blocking
from models.store.decimals import read_decimal
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.tables import Tables

_USER = re.compile(rb'"user_id": ?("(?:[^"\\]|\\.)*")')


def damaged_erasures(store: SyncStore, keys: Keys) -> list[str]:
    """The keyed hashes of the users whose record of erasures, or time of erasure, does not read back, sorted."""
    read_open(store, keys)  # notes those of the erasures that are not done
    store.members_add(keys.damaged_erasures, [name.encode() for name in damaged_times(store, keys)])
    return sorted(member.decode() for member in store.members(keys.damaged_erasures))


def repair_erasures(store: SyncStore, keys: Keys, home: Path) -> int:
    """Writes the records and times anew that do not read back; returns how many. The worker then goes on with the
    erasures.

    The time of the latest erasure is kept beside the record (Keys.erased), earlier ones come from the event log; a time
    that does not read back is the latest that record and event log know, else that of the repair. Whose
    id is found nowhere, neither in the bytes nor in the event log, a live record or a version of this home, has been
    removed everywhere before. Raises StoreError, and ArtefactError if the archive of this home lacks archived entries.
    """
    names = damaged_erasures(store, keys)
    if not names:
        return 0
    stored = dict(zip(names, store.get_many([keys.erasure(name) for name in names]), strict=True))
    latest = dict(zip(names, store.fields_get(keys.erased, names), strict=True))
    key = store.get(keys.erased_key) or b""
    # whose erasures they are, and when each was acknowledged
    timestamps_us: dict[str, set[int]] = defaultdict(set)
    for entry in all_entries(store, keys, home):
        if entry.kind == ERASE and (name := hash_of(key, entry.user_id)) in stored:
            timestamps_us[name].add(entry.timestamp_us)
    users: dict[str, str] = {}
    for user_id in _possible_users(store, keys, home, [record or b"" for record in stored.values()]):
        if len(users) == len(names):
            break
        if (name := hash_of(key, user_id)) in stored:
            users[name] = user_id
    # the records
    rebuilt = 0
    for name, record in stored.items():
        at = latest[name]
        known, whole = read_decimal(at or b""), _erasure(record)
        times = {*timestamps_us[name], *(() if whole is None else whole.timestamps_us)}
        acknowledged = tuple(sorted(times if known is None else {*times, known}))
        if at is not None and known is None:
            timestamp_us = max(acknowledged) if acknowledged else take_timestamp_blocking(store, keys, now=now_us())
            store.field_raise(keys.erased, name, timestamp_us)
            rebuilt += 1
        if record is not None and whole is None and acknowledged:
            erasure = Erasure(acknowledged, user_id=users.get(name))
            if not store.compare_and_set(keys.erasure(name), record, erasure.encode()):
                continue  # a DELETE wrote it anew
            store.members_add(keys.erasures, [name.encode()])
            rebuilt += 1
        store.members_remove(keys.damaged_erasures, [name.encode()])
    return rebuilt


def _erasure(record: bytes | None) -> Erasure | None:
    """The erasures of a record; None if there is none, or it does not read back."""
    try:
        return None if record is None else Erasure.decode(record)
    except CorruptRecordError:
        return None


def _possible_users(store: SyncStore, keys: Keys, home: Path, records: list[bytes]) -> Iterator[str]:
    """Ids among which those of erased users are: a match of the keyed hash proves it."""
    for record in records:
        for found in _USER.finditer(record):
            try:
                yield str(orjson.loads(found[1]))
            except orjson.JSONDecodeError:
                continue
    yield from (entry.user_id for entry in all_entries(store, keys, home) if entry.kind == ERASE)
    index_people(store, keys)
    yield from people_with_records(store, keys)
    versions = Versions(home)
    for version in versions.ids():
        vocabulary = Tables.open(versions.path(version) / "tables").vocabulary
        yield from (vocabulary.user_id(row) for row in range(len(vocabulary)))
