"""Requested erasures: their receipts, their progress, and what they wait for.

A receipt is the keyed hash of the id (models.live_state.erased_ids) and the timestamp of the erasure. One record has
all erasures of an id, by its hash. It holds the id itself only as long as data of the user may be left. Requests add
lines to it, each with one erasure, which no other write can prevent; the worker merges them.

Of an id that nothing knew, neither a version nor a live record nor the dataset of the next night, nothing is left: its
receipt expires.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import orjson

from models.errors import CorruptRecordError, StoreUnavailableError
from models.live_state.erased_ids import name_of, name_of_blocking
from models.store.decimals import read_decimal
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.store.transaction import Commit, Extend, Guard, Outcome, Replace, Write

ATTEMPTS = 20
"""how often a night reads a record again that the worker has rewritten meanwhile"""
RECEIPT_S = 30 * 86_400
"""how long the receipt of an unknown id is kept after its erasure is done"""
_RECEIPT = re.compile(r"([0-9a-f]{32})([0-9a-f]{16})")
_LINE_END = b"\n"


class State(StrEnum):
    """The progress of an erasure."""

    HIDDEN = "hidden"
    """no answer has the user"""
    DONE = "done"
    """no version, archive, list, record or key from before the erasure is left"""


class Remains(StrEnum):
    """What an erasure waits for."""

    LOG = "log"
    """the worker has to archive the event log"""
    RUN = "run"
    """a night that started before is running or was interrupted"""
    NIGHT = "night"
    """the served version was built before"""
    PROCESSES = "processes"
    """a live process serves a version that was built before"""
    SWITCH = "switch"
    """another process is publishing or activating"""
    EXPOSURES = "exposures"
    """the worker has to file lists from before, in which the user may be"""
    FILE = "file"
    """the store's file on disk has deleted data"""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The erasures of one id."""

    timestamps_us: tuple[int, ...]
    """when each was acknowledged, microseconds, rising"""
    done: int = 0
    """erasures up to this timestamp are done"""
    done_at: int = 0
    """when the last of them was, microseconds"""
    user_id: str | None = None
    """None if no data of the user is left"""
    scrubbed: int = 0
    """up to this timestamp the user was removed once from other users' records and the archive"""
    waits_for: tuple[Remains, ...] = ()
    is_known: bool = True
    """False: no version and no live record had the id, nor has a dataset named it since"""

    @property
    def timestamp_us(self) -> int:
        """Of the latest erasure."""
        return self.timestamps_us[-1]

    @property
    def is_done(self) -> bool:
        """Whether the latest erasure, and so every one, is done."""
        return self.done >= self.timestamp_us

    def state(self, timestamp_us: int) -> State:
        """The progress of the erasure at a timestamp."""
        return State.DONE if timestamp_us <= self.done else State.HIDDEN

    def encode(self) -> bytes:
        """The record."""
        fields = asdict(self)
        return orjson.dumps({"stamps": fields.pop("timestamps_us"), **fields})

    @classmethod
    def decode(cls, record: bytes) -> "Erasure":
        """The erasures of a record. Raises CorruptRecordError."""
        try:
            merged, *added = map(orjson.loads, record.split(_LINE_END))
            timestamps_us = tuple(int(timestamp_us) for timestamp_us in merged.pop("stamps"))
            waits = tuple(Remains(reason) for reason in merged.pop("waits_for"))
            erasure = cls(timestamps_us=timestamps_us, waits_for=waits, **merged)
            for one in added:
                erasure = erasure._with(int(one["stamp"]), str(one["user_id"]), is_known=bool(one["is_known"]))
            if not erasure.timestamps_us:
                raise ValueError("it has no erasure")
            return erasure
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"the record of an erasure cannot be read: {error!r}") from error

    def _with(self, timestamp_us: int, user_id: str, *, is_known: bool) -> "Erasure":
        """These and one more erasure; of one that is there already only whether the id was known counts."""
        if timestamp_us in self.timestamps_us:
            return replace(self, is_known=self.is_known or is_known)
        timestamps_us = tuple(sorted((*self.timestamps_us, timestamp_us)))
        return replace(self, timestamps_us=timestamps_us, user_id=user_id, is_known=self.is_known or is_known)


def receipt_of(name: str, timestamp_us: int) -> str:
    """The receipt of an erasure, given the keyed hash of the id and the timestamp."""
    return f"{name}{timestamp_us:016x}"


async def open_erasure(store: AsyncStore, keys: Keys, user_id: str, timestamp_us: int, *, is_known: bool = True) -> str:
    """Records an erasure, for the night and for the worker; returns its receipt. Idempotent.

    The entry for the night stays: a user who returns is recognised by data later than the timestamp. A record that does
    not read back is written anew, with the latest erasure of before.
    """
    name = await name_of(store, keys, user_id)
    key = keys.erasure(name)
    stored = await store.get(key)
    is_damaged = stored is not None and _read(stored) is None
    latest = (await store.fields_get(keys.erased, [name]))[0] if is_damaged else None
    await store.field_raise(keys.erased, name, timestamp_us)  # whoever reads the record can rely on it
    if is_damaged:
        await store.compare_and_set(key, stored, _anew(user_id, timestamp_us, latest).encode())
        stored = await store.get(key)
    if _is_news(stored, timestamp_us, is_known):
        await store.commit([_opening(key, user_id, timestamp_us, is_known)])
        await store.field_raise(keys.erased, name, timestamp_us)  # `forget_unknown` may have removed it meanwhile
    await store.members_add(keys.erasures, [name.encode()])
    return receipt_of(name, timestamp_us)


def open_erasure_blocking(store: SyncStore, keys: Keys, user_id: str, timestamp_us: int) -> str:
    """The same as `open_erasure` for the worker; what the record says of the id stays."""
    name = name_of_blocking(store, keys, user_id)
    key = keys.erasure(name)
    stored = store.get(key)
    is_damaged = stored is not None and _read(stored) is None
    latest = store.fields_get(keys.erased, [name])[0] if is_damaged else None
    store.field_raise(keys.erased, name, timestamp_us)
    if is_damaged:
        store.compare_and_set(key, stored, _anew(user_id, timestamp_us, latest).encode())
        stored = store.get(key)
    if _is_news(stored, timestamp_us, is_known=False):
        store.commit([_opening(key, user_id, timestamp_us, is_known=True)])
        store.field_raise(keys.erased, name, timestamp_us)
    store.members_add(keys.erasures, [name.encode()])
    return receipt_of(name, timestamp_us)


def _is_news(stored: bytes | None, timestamp_us: int, is_known: bool) -> bool:
    """Whether a record lacks an erasure, or that its id was known."""
    erasure = _read(stored)
    return erasure is None or timestamp_us not in erasure.timestamps_us or (is_known and not erasure.is_known)


def _opening(key: str, user_id: str, timestamp_us: int, is_known: bool) -> Commit:
    """Adds an erasure to a record whatever others write, and has the record kept if it was to expire."""
    line = _LINE_END + orjson.dumps({"stamp": timestamp_us, "user_id": user_id, "is_known": is_known})
    start = Erasure((), is_known=False).encode()
    added = Extend(key, line, start, unless_recent=True)
    return Commit(extends=[added], replaces=[Replace(key, 0, b"")])


def _anew(user_id: str, timestamp_us: int, latest: bytes | None) -> Erasure:
    """The record in place of one that does not read back, with the latest erasure of before (Keys.erased)."""
    timestamps_us = {timestamp_us, read_decimal(latest or b"") or timestamp_us}
    return Erasure(tuple(sorted(timestamps_us)), user_id=user_id, is_known=True)


async def erasure_of(store: AsyncStore, keys: Keys, user_id: str) -> tuple[str, Erasure] | None:
    """The receipt of a user's latest erasure and the record; None if there is none."""
    name = await name_of(store, keys, user_id)
    stored = await store.get(keys.erasure(name))
    if stored is None:
        return None
    erasure = Erasure.decode(stored)
    return receipt_of(name, erasure.timestamp_us), erasure


async def erasure_by_receipt(store: AsyncStore, keys: Keys, receipt: str) -> tuple[int, Erasure] | None:
    """The timestamp in a receipt, and the record; None if there is no such erasure.

    Raises CorruptRecordError if the record does not read back, and notes it.
    """
    match = _RECEIPT.fullmatch(receipt)
    stored = await store.get(keys.erasure(match[1])) if match else None
    if match is None or stored is None:
        return None
    try:
        timestamp_us, erasure = int(match[2], 16), Erasure.decode(stored)
    except CorruptRecordError:
        await store.members_add(keys.damaged_erasures, [match[1].encode()])
        raise
    return (timestamp_us, erasure) if timestamp_us in erasure.timestamps_us else None


def read_open(store: SyncStore, keys: Keys) -> dict[str, Erasure]:
    """The erasures that are not done, by the hash of the id. One that does not read back is left out and noted."""
    names = sorted(member.decode() for member in store.members(keys.erasures))
    stored = store.get_many([keys.erasure(name) for name in names]) if names else []
    records = {name: record for name, record in zip(names, stored, strict=True) if record is not None}
    erasures = {name: erasure for name, record in records.items() if (erasure := _read(record)) is not None}
    damaged = records.keys() - erasures.keys()
    if damaged:
        store.members_add(keys.damaged_erasures, [name.encode() for name in damaged])
    if erasures:  # a repeated DELETE wrote it anew
        store.members_remove(keys.damaged_erasures, [name.encode() for name in erasures])
    # the process that finished them died before this
    finished = [name for name in names if name not in damaged and (name not in erasures or erasures[name].is_done)]
    _close(store, keys, finished)
    return {name: erasure for name, erasure in erasures.items() if not erasure.is_done}


def replace_erasure(store: SyncStore, keys: Keys, name: str, stored: Erasure, erasure: Erasure) -> bool:
    """Replaces a record unless it has changed; returns whether it holds `erasure`.

    A request may add an erasure at any time: that stays behind it.
    """
    if stored == erasure:
        return True
    key = keys.erasure(name)
    packed = store.get(key)
    if packed is None or Erasure.decode(packed) != stored:
        return False
    commit = Commit(guards=[Guard(key, packed)], replaces=[Replace(key, len(packed), erasure.encode())])
    if store.commit([commit]) != [Outcome.APPLIED]:
        return False
    if erasure.is_done:
        _close(store, keys, [name])
    return True


def _records(store: SyncStore, keys: Keys, names: Sequence[str]) -> dict[str, Erasure]:
    """The erasures by the hash of the id, without those that have no record, or none that reads back."""
    records = zip(names, store.get_many([keys.erasure(name) for name in names]), strict=True) if names else ()
    return {name: erasure for name, record in records if (erasure := _read(record)) is not None}


def _close(store: SyncStore, keys: Keys, names: Sequence[str]) -> None:
    """Removes finished erasures from the set of those that are not done, but not those that a request opens anew."""
    if not names:
        return
    store.members_remove(keys.erasures, [name.encode() for name in names])
    reopened = [name for name, erasure in _records(store, keys, names).items() if not erasure.is_done]
    store.members_add(keys.erasures, [name.encode() for name in reopened])


def note_known(store: SyncStore, keys: Keys, names: Sequence[str]) -> None:
    """Notes that a dataset names erased users, by the hashes of their ids: these stay, to keep them out of the next."""
    for name, erasure in _records(store, keys, names).items():  # one that does not read back is rebuilt as known
        stored: Erasure | None = erasure
        for _ in range(ATTEMPTS):
            if stored is None or stored.is_known:
                break
            if replace_erasure(store, keys, name, stored, replace(stored, is_known=True)):
                break
            stored = _records(store, keys, [name]).get(name)
        else:
            raise StoreUnavailableError("The worker keeps changing the record of an erasure; try again.")


def forget_unknown(store: SyncStore, keys: Keys, name: str, erasure: Erasure) -> None:
    """Removes what is left of an id that nothing knew, unless it is erased anew meanwhile; its receipt expires."""
    key, packed = keys.erasure(name), erasure.encode()
    expiring = Commit(guards=[Guard(key, packed, len(packed))], writes=[Write(key, packed, RECEIPT_S)])
    if store.commit([expiring]) != [Outcome.APPLIED]:
        return
    store.fields_delete(keys.erased, [name])
    latest = _records(store, keys, [name]).get(name, erasure)
    if latest != erasure:
        store.field_raise(keys.erased, name, latest.timestamp_us)


def _read(record: bytes | None) -> Erasure | None:
    """The erasures of a record; None if there is none, or it does not read back."""
    try:
        return None if record is None else Erasure.decode(record)
    except CorruptRecordError:
        return None
