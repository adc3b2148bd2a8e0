"""Requested erasures: their receipts, their progress, and what they wait for.

A receipt is the keyed hash of the id (models.live_state.erased_ids) and the timestamp of the erasure. One record has
all erasures of an id, by its hash. It holds the id itself only as long as data of the user may be left.

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
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore

ATTEMPTS = 20
RECEIPT_S = 30 * 86_400
"""how long the receipt of an unknown id is kept after its erasure is done"""
_RECEIPT = re.compile(r"([0-9a-f]{32})([0-9a-f]{16})")
_CROWDED = "Concurrent writes keep changing the record of an erasure; try again."


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
            fields = orjson.loads(record)
            timestamps_us = tuple(int(timestamp_us) for timestamp_us in fields.pop("stamps"))
            waits = tuple(Remains(reason) for reason in fields.pop("waits_for"))
            return cls(timestamps_us=timestamps_us[-1:] and timestamps_us, waits_for=waits, **fields)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"the record of an erasure cannot be read: {error!r}") from error


def receipt_of(name: str, timestamp_us: int) -> str:
    """The receipt of an erasure, given the keyed hash of the id and the timestamp."""
    return f"{name}{timestamp_us:016x}"


async def open_erasure(store: AsyncStore, keys: Keys, user_id: str, timestamp_us: int, *, is_known: bool = True) -> str:
    """Records an erasure, for the night and for the worker; returns its receipt. Idempotent.

    The entry for the night stays: a user who returns is recognised by data later than the timestamp. A record that does
    not read back is written anew, with the latest erasure of before.
    """
    name = await name_of(store, keys, user_id)
    for _ in range(ATTEMPTS):
        stored = await store.get(keys.erasure(name))
        erasure = _opened(_read(stored), user_id, timestamp_us, is_known=is_known)
        if stored is not None and _read(stored) is None:
            erasure = _joined(erasure, (await store.fields_get(keys.erased, [name]))[0])
        await store.fields_set(keys.erased, {name: str(erasure.timestamp_us).encode()})
        opened = erasure.encode()
        if opened == stored or await store.compare_and_set(keys.erasure(name), stored, opened):
            await store.members_add(keys.erasures, [name.encode()])
            return receipt_of(name, timestamp_us)
    raise StoreUnavailableError(_CROWDED)


def open_erasure_blocking(store: SyncStore, keys: Keys, user_id: str, timestamp_us: int) -> str:
    """The same as `open_erasure` for the worker."""
    name = name_of_blocking(store, keys, user_id)
    for _ in range(ATTEMPTS):
        stored = store.get(keys.erasure(name))
        erasure = _opened(_read(stored), user_id, timestamp_us, is_known=True)
        if stored is not None and _read(stored) is None:
            erasure = _joined(erasure, store.fields_get(keys.erased, [name])[0])
        store.fields_set(keys.erased, {name: str(erasure.timestamp_us).encode()})
        opened = erasure.encode()
        if opened == stored or store.compare_and_set(keys.erasure(name), stored, opened):
            store.members_add(keys.erasures, [name.encode()])
            return receipt_of(name, timestamp_us)
    raise StoreUnavailableError(_CROWDED)


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
    finished = [name for name in names if name not in damaged and (name not in erasures or erasures[name].is_done)]
    if finished:  # the process that finished them died before this
        store.members_remove(keys.erasures, [name.encode() for name in finished])
    return {name: erasure for name, erasure in erasures.items() if not erasure.is_done}


def replace_erasure(store: SyncStore, keys: Keys, name: str, stored: Erasure, erasure: Erasure) -> bool:
    """Replaces a record unless it has changed; returns whether it holds `erasure`."""
    if stored == erasure:
        return True
    if not store.compare_and_set(keys.erasure(name), stored.encode(), erasure.encode()):
        return False
    if erasure.is_done:
        store.members_remove(keys.erasures, [name.encode()])
    return True


def note_known(store: SyncStore, keys: Keys, names: Sequence[str]) -> None:
    """Notes that a dataset names erased users, by the hashes of their ids: these stay, to keep them out of the next."""
    records = store.get_many([keys.erasure(name) for name in names]) if names else []
    for name, record in zip(names, records, strict=True):
        erasure = _read(record)
        if record is None or erasure is None or erasure.is_known:  # one that does not read back is rebuilt as known
            continue
        for _ in range(ATTEMPTS):
            stored = Erasure.decode(store.get(keys.erasure(name)) or record)
            if replace_erasure(store, keys, name, stored, replace(stored, is_known=True)):
                break
        else:
            raise StoreUnavailableError(_CROWDED)


def forget_unknown(store: SyncStore, keys: Keys, name: str, erasure: Erasure) -> None:
    """Removes what is left of an id that nothing knew; its receipt expires."""
    store.fields_delete(keys.erased, [name])
    store.set(keys.erasure(name), erasure.encode(), RECEIPT_S)


def _read(record: bytes | None) -> Erasure | None:
    """The erasures of a record; None if there is none, or it does not read back."""
    try:
        return None if record is None else Erasure.decode(record)
    except CorruptRecordError:
        return None


def _joined(erasure: Erasure, latest: bytes | None) -> Erasure:
    """A record that is written anew, with the latest erasure of before (Keys.erased)."""
    timestamps_us = tuple(sorted({*erasure.timestamps_us, int(latest or erasure.timestamp_us)}))
    return replace(erasure, timestamps_us=timestamps_us, is_known=True)


def _opened(stored: Erasure | None, user_id: str, timestamp_us: int, *, is_known: bool) -> Erasure:
    """The record with an erasure added."""
    erasure = Erasure((), is_known=False) if stored is None else stored
    if timestamp_us in erasure.timestamps_us:
        return erasure
    timestamps_us = tuple(sorted({*erasure.timestamps_us, timestamp_us}))
    return replace(erasure, timestamps_us=timestamps_us, user_id=user_id, is_known=erasure.is_known or is_known)
