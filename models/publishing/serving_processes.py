"""What each live process serves, and which version it is opening.

A process reports every BEAT_S for as long as it lives, whatever else it does. A report has two parts: a key of its own
that expires (Keys.process), by the store's clock alone, and a field in the record of the live processes
(Keys.live_processes), which says where to look: the cost is that of the live processes, whatever else the store holds.

Processes of former releases write the key alone. They are found by a walk over all keys, and only as long as one may
live: every process walks once after it started, in the background, and notes in the record that it found none. A small
store is walked at every look.
"""

import time
from dataclasses import dataclass
from itertools import islice

import orjson
import structlog

from models.errors import StoreRefusedError
from models.store.keys import WHOLE, Keys
from models.store.protocol import AsyncStore, SyncStore

TTL_S = 10.0
"""a process that has not reported for so long counts as dead"""

BEAT_S = TTL_S / 5
"""how often a process reports; a change is reported at once"""

WAIT_S = 5.0
"""how long a switch waits for the processes to serve the version"""

ALONE = "*"
"""the field of the record that says: no process of a former release lives"""

FEW_KEYS = 20_000
"""a store with at most so many keys is walked at every look, which takes some 20 round trips"""

FORGET_S = 86_400.0
"""a field of a dead process is removed after so long, seconds: the clocks of hosts differ"""

_READ_AT_ONCE = 500
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Report:
    """What a live process says of itself."""

    serves: str
    """version id; "" for none"""

    opens: str = ""
    """the version that it is about to serve, "" for none"""

    canary: str = ""
    """the version that it serves a share of the viewers from besides, "" for none"""

    @property
    def open(self) -> set[str]:
        """The versions that it serves or is about to serve."""
        return {self.serves, self.opens, self.canary} - {""}

    def field(self) -> bytes:
        """The value of the process's field in the record."""
        return orjson.dumps({"opens": self.opens, "canary": self.canary, "at": time.time()})


def report(store: SyncStore, name: str, said: Report, *, keys: Keys, ttl_s: float = TTL_S) -> None:
    """Writes the report of a process. The field comes first: a key without it is a process of a former release."""
    store.fields_set(keys.live_processes, {name: said.field()})
    store.set(keys.process(name), said.serves.encode(), ttl_s)


async def report_async(store: AsyncStore, name: str, said: Report, *, keys: Keys) -> None:
    """As `report`, awaited."""
    await store.fields_set(keys.live_processes, {name: said.field()})
    await store.set(keys.process(name), said.serves.encode(), TTL_S)


def withdraw(store: SyncStore, name: str, *, keys: Keys) -> None:
    """Removes the report of a process that ends."""
    store.delete([keys.process(name)])
    store.fields_delete(keys.live_processes, [name])


async def withdraw_async(store: AsyncStore, name: str, *, keys: Keys) -> None:
    """As `withdraw`, awaited."""
    await store.delete([keys.process(name)])
    await store.fields_delete(keys.live_processes, [name])


def reports(store: SyncStore, *, keys: Keys) -> dict[str, Report]:
    """The report of each live process, by the process's name."""
    return _reports(store, keys, live_former(store, keys=keys))


def served(store: SyncStore, *, keys: Keys) -> dict[str, str]:
    """The version id that each live process serves, by the process's name; "" if it serves none."""
    return {name: said.serves for name, said in reports(store, keys=keys).items()}


def wait_until_served(store: SyncStore, version: str, *, keys: Keys, wait_s: float = WAIT_S) -> dict[str, str]:
    """Waits until all live processes serve the version; after `wait_s` seconds returns the others' versions."""
    deadline = time.monotonic() + wait_s
    former = live_former(store, keys=keys)
    while True:
        live = _reports(store, keys, former)
        others = {name: said.serves for name, said in live.items() if said.serves != version}
        if not others or time.monotonic() >= deadline:
            return others
        time.sleep(_POLL_S)


def wait_until_tried(store: SyncStore, version: str, *, keys: Keys, wait_s: float = WAIT_S) -> list[str]:
    """Waits until all live processes serve the canary, "" until none serves any; returns those that do not by then."""
    deadline = time.monotonic() + wait_s
    former = live_former(store, keys=keys)
    while True:
        live = _reports(store, keys, former)
        others = sorted(name for name, said in live.items() if said.canary != version)
        if not others or time.monotonic() >= deadline:
            return others
        time.sleep(_POLL_S)


def find_former(store: SyncStore, *, keys: Keys) -> set[str]:
    """The names of the live processes of former releases, by a walk over all keys; notes if there are none.

    Removes the fields of processes that died long ago. Raises StoreError.
    """
    fields = store.fields(keys.live_processes)
    if former := _walk(store, keys):
        store.fields_delete(keys.live_processes, [ALONE])
        for version in store.members(keys.versions):
            store.members_remove(keys.newcomers(version.decode()), [WHOLE])
    else:
        store.fields_set(keys.live_processes, {ALONE: b"1"})
    _forget(store, keys, fields)
    return former


def live_former(store: SyncStore, *, keys: Keys) -> set[str]:
    """The same, without a walk if none can live."""
    if store.info().keys <= FEW_KEYS:
        return _walk(store, keys)
    if ALONE in store.fields(keys.live_processes):
        return set()
    try:
        return find_former(store, keys=keys)
    except StoreRefusedError as error:  # a full store takes no note; what is live can be read
        structlog.get_logger().warning("processes_not_noted", error=str(error))
        return _walk(store, keys)


def _walk(store: SyncStore, keys: Keys) -> set[str]:
    """The names under Keys.process that the record lacks. It is read last: a process may start during the walk."""
    names = {key.removeprefix(keys.processes) for key in store.scan(keys.processes)}
    return names - store.fields(keys.live_processes).keys()


def _reports(store: SyncStore, keys: Keys, former: set[str]) -> dict[str, Report]:
    fields = store.fields(keys.live_processes)
    names = iter(sorted({*fields, *former} - {ALONE}))
    live: dict[str, Report] = {}
    while batch := list(islice(names, _READ_AT_ONCE)):
        values = store.get_many([keys.process(name) for name in batch])
        for name, value in zip(batch, values, strict=True):
            if value is not None:
                field = fields.get(name)
                live[name] = Report(value.decode(), _text(field, "opens"), _text(field, "canary"))
    return live


def _forget(store: SyncStore, keys: Keys, fields: dict[str, bytes]) -> None:
    """Removes the fields of processes that died FORGET_S ago."""
    old = [name for name, field in fields.items() if name != ALONE and abs(time.time() - _at(field)) > FORGET_S]
    values = store.get_many([keys.process(name) for name in old])
    store.fields_delete(keys.live_processes, [name for name, value in zip(old, values, strict=True) if value is None])


def _text(field: bytes | None, name: str) -> str:
    try:
        return str(orjson.loads(field or b"{}").get(name, ""))
    except (orjson.JSONDecodeError, AttributeError):
        return ""


def _at(field: bytes) -> float:
    """When a field was written, epoch seconds; 0 if it does not read back."""
    try:
        return float(orjson.loads(field)["at"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0.0
