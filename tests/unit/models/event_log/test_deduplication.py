"""What tells duplicates apart stays for 48 hours, whatever the clocks of hosts say, and is forgotten in the end."""

from collections.abc import Sequence

import pytest

from models.errors import CorruptRecordError
from models.event_log.deduplication import GENERATION_S, GENERATIONS, Generation, Generations
from models.event_log.event import Event
from models.event_log.write_events import Result, write_events
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys
from models.store.transaction import Commit, Outcome
from service.worker.housekeeping import Housekeeper
from tests.support.clock import NOW
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
HOUR_S = 3600
ROUND_S = 300.0
UNBLOCK = Event(EventKind.UNBLOCK, "ann", "dan", event_id="evt-1")


class Hosts:
    """A service and a worker with one store, whose clocks may be wrong while time passes."""

    def __init__(self, memory: MemoryStore, keys: Keys) -> None:
        self.memory, self.keys, self.passed_s = memory, keys, 0.0
        self.service_ahead_h = self.worker_ahead_h = 0.0
        self.worker = self.new_worker()

    def new_worker(self) -> Housekeeper:
        return Housekeeper(
            self.memory, self.keys, lambda: True, lambda: self._shown(self.worker_ahead_h), lambda: self.passed_s
        )

    def _shown(self, ahead_h: float) -> int:
        return NOW + round((self.passed_s + ahead_h * HOUR_S) * 1_000_000)

    def pass_time(self, hours: float) -> None:
        """The worker runs meanwhile."""
        until = self.passed_s + hours * HOUR_S
        while self.passed_s < until:
            self.passed_s = min(self.passed_s + ROUND_S, until)
            self.worker.run_once()

    async def send(self, *events: Event) -> Sequence[Result]:
        store = AsyncMemoryStore(self.memory)
        written = await write_events(store, self.keys, events, clock=lambda: self._shown(self.service_ahead_h))
        return written.results

    def kept(self) -> list[str]:
        """The keys of identities."""
        return [key for key in self.memory.scan("") if ":accepted:" in key and key != self.keys.accepted_generation]


@pytest.fixture
def hosts(memory: MemoryStore, keys: Keys) -> Hosts:
    return Hosts(memory, keys)


@pytest.mark.parametrize("age_h", [0, 12, GENERATION_S / HOUR_S - 0.1])
@pytest.mark.parametrize(
    ("after_h", "service_ahead_h", "worker_ahead_h"),
    [(47.5, 2, 0), (46, 0, 4), (1, 0, 72), (1, 72, 0), (47.9, 0, 0), (47.9, -72, -72), (47.9, 640_000, 640_000)],
)
async def test_an_event_is_recognised_for_48_hours_whatever_the_clocks_say(
    hosts: Hosts, age_h: float, after_h: float, service_ahead_h: float, worker_ahead_h: float
) -> None:
    await hosts.send(Event(EventKind.BLOCK, "bea", "dan", event_id="first"))
    hosts.pass_time(age_h)  # of the generation that is written to
    assert await hosts.send(UNBLOCK) == [Result.ACCEPTED]
    assert await hosts.send(Event(EventKind.BLOCK, "ann", "dan")) == [Result.ACCEPTED]
    hosts.service_ahead_h, hosts.worker_ahead_h = service_ahead_h, worker_ahead_h
    hosts.pass_time(after_h / 2)
    await hosts.send(Event(EventKind.CLICK, "bea", "dan", event_id="in between"))
    hosts.pass_time(after_h / 2)
    assert await hosts.send(UNBLOCK) == [Result.DUPLICATE]


@pytest.mark.parametrize("ahead_h", [0, -450_000, 640_000])
async def test_what_is_older_is_forgotten(hosts: Hosts, ahead_h: float) -> None:
    hosts.service_ahead_h = hosts.worker_ahead_h = ahead_h
    for number in range(20):
        await hosts.send(*(Event(EventKind.CLICK, f"u{at}", "dan", event_id=f"{number}") for at in range(40)))
        hosts.pass_time(12)
        assert len(hosts.kept()) <= SHARDS * GENERATIONS
    await hosts.send(UNBLOCK)
    hosts.pass_time(GENERATIONS * GENERATION_S / HOUR_S + 1)
    assert await hosts.send(UNBLOCK) == [Result.ACCEPTED]
    hosts.pass_time(2 * GENERATIONS * GENERATION_S / HOUR_S)
    assert hosts.kept() == []


async def test_two_workers_and_workers_that_come_and_go_forget_nothing_early(hosts: Hosts) -> None:
    await hosts.send(UNBLOCK)
    other = hosts.new_worker()
    for _ in range(int(47 * HOUR_S / ROUND_S)):  # both believe that it is theirs to count
        hosts.pass_time(ROUND_S / HOUR_S)
        other.run_once()
    for _ in range(12):  # a host that stands still for days, and a worker that starts again
        hosts.passed_s += 72 * HOUR_S
        hosts.worker.run_once()
        hosts.passed_s += 72 * HOUR_S
        hosts.worker = hosts.new_worker()
        hosts.worker.run_once()
    assert await hosts.send(UNBLOCK) == [Result.DUPLICATE]


async def test_a_worker_counts_only_while_it_is_its_turn(memory: MemoryStore, keys: Keys, hosts: Hosts) -> None:
    await hosts.send(UNBLOCK)
    turns = [True, True, False, True, True]
    worker = Housekeeper(memory, keys, lambda: turns.pop(0), monotonic=lambda: hosts.passed_s)
    ages = []
    while turns:
        worker.run_once()
        ages.append(Generation.decode(memory.get(keys.accepted_generation) or b"").age_s)
        hosts.passed_s += 60
    assert ages == [0, 60, 60, 60, 120]


async def test_a_writer_that_read_the_generation_before_knows_what_is_in_the_next(
    hosts: Hosts, memory: MemoryStore, keys: Keys
) -> None:
    class Late(AsyncMemoryStore):
        """A store in which the next generation begins, and has the event, before a commit arrives."""

        async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
            if commits and commits[0].once:
                hosts.pass_time(GENERATION_S / HOUR_S + 1)
                assert await hosts.send(UNBLOCK) == [Result.ACCEPTED]
            return await super().commit(commits, wait_s)

    await hosts.send(Event(EventKind.BLOCK, "bea", "dan", event_id="first"))
    written = await write_events(Late(memory), keys, [UNBLOCK])
    assert written.results == [Result.DUPLICATE]


async def test_identities_of_the_release_before_are_known(hosts: Hosts, memory: MemoryStore, keys: Keys) -> None:
    """It named generations by the day."""
    await hosts.send(UNBLOCK)
    assert Generation.decode(memory.get(keys.accepted_generation) or b"").number == NOW // (24 * HOUR_S * 1_000_000)


async def test_nothing_is_read_of_events_without_identity(hosts: Hosts, memory: MemoryStore, keys: Keys) -> None:
    await hosts.send(Event(EventKind.CLICK, "ann", "dan"))
    assert memory.get(keys.accepted_generation) is None
    assert Generations(memory, keys).run_once() == 0


@pytest.mark.parametrize("record", [b"", b"5", b"x 1 y", b"5 1.0 a b", b"\xff 1 2"])
async def test_a_damaged_record_is_named(hosts: Hosts, memory: MemoryStore, keys: Keys, record: bytes) -> None:
    memory.set(keys.accepted_generation, record)
    with pytest.raises(CorruptRecordError, match="accepted:generation"):
        await hosts.send(UNBLOCK)
    with pytest.raises(CorruptRecordError, match="accepted:generation"):
        Generations(memory, keys).run_once()


def test_a_generation_is_what_was_written() -> None:
    generation = Generation(7, 1.5, "abc")
    assert Generation.decode(generation.encode()) == generation
