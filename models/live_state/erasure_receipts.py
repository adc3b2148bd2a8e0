"""Erasures that were asked for: receipts, how far each is, and what it waits for.

A receipt is the keyed hash of the id (models.live_state.erased_ids) and the stamp of the erasure. Under the hash stands
one record of all erasures of that id; it holds the id itself only as long as something of the person has to be found.
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
_RECEIPT = re.compile(r"([0-9a-f]{32})([0-9a-f]{16})")
_CROWDED = "The record of an erasure is written by others all the time; try again."


class State(StrEnum):
    """How far an erasure is."""

    HIDDEN = "hidden"
    """the person is in no answer"""
    DONE = "done"
    """no version, archive, list, record or key made before the erasure is left"""


class Remains(StrEnum):
    """What an erasure waits for."""

    LOG = "log"
    """the worker has to archive what is in the event log"""
    RUN = "run"
    """a night that began before is at work, or was cut short"""
    NIGHT = "night"
    """the version that is served was made before"""
    PROCESSES = "processes"
    """a live process still serves a version that was made before"""
    SWITCH = "switch"
    """another process is publishing or activating"""
    FILE = "file"
    """the store's file on disk still has what was deleted"""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The erasures of one id."""

    timestamps_us: tuple[int, ...]
    """when each was acknowledged, microseconds, rising"""
    done: int = 0
    """erasures up to this stamp are done"""
    done_at: int = 0
    """when the last of them was, microseconds"""
    user_id: str | None = None
    """None once nothing of the person can be found any more"""
    scrubbed: int = 0
    """up to this stamp the person was taken out of others' records and the archive once"""
    waits_for: tuple[Remains, ...] = ()

    @property
    def timestamp_us(self) -> int:
        """Of the latest erasure."""
        return self.timestamps_us[-1]

    @property
    def is_done(self) -> bool:
        """Whether the latest is done, and so all."""
        return self.done >= self.timestamp_us

    def state(self, timestamp_us: int) -> State:
        """How far the erasure of a stamp is."""
        return State.DONE if timestamp_us <= self.done else State.HIDDEN

    def encode(self) -> bytes:
        """The record."""
        fields = asdict(self)
        return orjson.dumps({"stamps": fields.pop("timestamps_us"), **fields})

    @classmethod
    def decode(cls, record: bytes) -> "Erasure":
        """The erasures of a record. Raises CorruptRecordError where it is none."""
        try:
            said = orjson.loads(record)
            timestamps_us = tuple(int(timestamp_us) for timestamp_us in said.pop("stamps"))
            waits = tuple(Remains(one) for one in said.pop("waits_for"))
            return cls(timestamps_us=timestamps_us[-1:] and timestamps_us, waits_for=waits, **said)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"the record of an erasure does not read back: {error!r}") from error


def receipt_of(name: str, timestamp_us: int) -> str:
    """The receipt of the erasure at a stamp of the id that `name` stands for."""
    return f"{name}{timestamp_us:016x}"


async def open_erasure(store: AsyncStore, keys: Keys, user_id: str, timestamp_us: int) -> str:
    """Notes that a person was erased, for the night and for the worker; the receipt. Harmless where it was noted.

    The note for the night is never undone: who comes back is known by what is later than the stamp.
    """
    name = await name_of(store, keys, user_id)
    for _ in range(ATTEMPTS):
        held = await store.get(keys.erasure(name))
        erasure = _opened(held, user_id, timestamp_us)
        await store.fields_set(keys.erased, {name: str(erasure.timestamp_us).encode()})
        opened = erasure.encode()
        if opened == held or await store.compare_and_set(keys.erasure(name), held, opened):
            await store.members_add(keys.erasures, [name.encode()])
            return receipt_of(name, timestamp_us)
    raise StoreUnavailableError(_CROWDED)


def open_erasure_blocking(store: SyncStore, keys: Keys, user_id: str, timestamp_us: int) -> str:
    """The same as `open_erasure` for the worker."""
    name = name_of_blocking(store, keys, user_id)
    for _ in range(ATTEMPTS):
        held = store.get(keys.erasure(name))
        erasure = _opened(held, user_id, timestamp_us)
        store.fields_set(keys.erased, {name: str(erasure.timestamp_us).encode()})
        opened = erasure.encode()
        if opened == held or store.compare_and_set(keys.erasure(name), held, opened):
            store.members_add(keys.erasures, [name.encode()])
            return receipt_of(name, timestamp_us)
    raise StoreUnavailableError(_CROWDED)


async def erasure_of(store: AsyncStore, keys: Keys, user_id: str) -> tuple[str, Erasure] | None:
    """The receipt of a person's latest erasure and the record; None where there was none."""
    name = await name_of(store, keys, user_id)
    held = await store.get(keys.erasure(name))
    if held is None:
        return None
    erasure = Erasure.decode(held)
    return receipt_of(name, erasure.timestamp_us), erasure


async def erasure_by_receipt(store: AsyncStore, keys: Keys, receipt: str) -> tuple[int, Erasure] | None:
    """The stamp that a receipt speaks of, and the record; None where it is nobody's."""
    found = _RECEIPT.fullmatch(receipt)
    held = await store.get(keys.erasure(found[1])) if found else None
    if found is None or held is None:
        return None
    timestamp_us, erasure = int(found[2], 16), Erasure.decode(held)
    return (timestamp_us, erasure) if timestamp_us in erasure.timestamps_us else None


def read_open(store: SyncStore, keys: Keys) -> dict[str, Erasure]:
    """The erasures that are not done, by the hash of the id."""
    names = sorted(member.decode() for member in store.members(keys.erasures))
    held = zip(names, store.get_many([keys.erasure(name) for name in names]), strict=True) if names else ()
    found = {name: Erasure.decode(record) for name, record in held if record is not None}
    finished = [name for name in names if name not in found or found[name].is_done]
    if finished:  # whoever finished them died before this
        store.members_remove(keys.erasures, [name.encode() for name in finished])
    return {name: erasure for name, erasure in found.items() if not erasure.is_done}


def replace_erasure(store: SyncStore, keys: Keys, name: str, held: Erasure, erasure: Erasure) -> bool:
    """Writes a record unless somebody else did meanwhile; whether it stands now."""
    if held == erasure:
        return True
    if not store.compare_and_set(keys.erasure(name), held.encode(), erasure.encode()):
        return False
    if erasure.is_done:
        store.members_remove(keys.erasures, [name.encode()])
    return True


def waiting_for(erasure: Erasure, remains: Sequence[Remains]) -> Erasure:
    """The record of an erasure that waits for this."""
    return replace(erasure, waits_for=tuple(remains))


def _opened(held: bytes | None, user_id: str, timestamp_us: int) -> Erasure:
    """The record with an erasure in it, whose latest stays the latest where an earlier one is told again."""
    erasure = Erasure(()) if held is None else Erasure.decode(held)
    if timestamp_us in erasure.timestamps_us:
        return erasure
    return replace(erasure, timestamps_us=tuple(sorted({*erasure.timestamps_us, timestamp_us})), user_id=user_id)
