"""Whatever happens in whatever order, a version and the live records say together what all that happened amounts to."""

import datetime as dt
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StoreUnavailableError
from models.event_log.archive.archive import Archive
from models.event_log.archive.packing import pack
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.live_state.compaction import compact
from models.live_state.edges import PAIR_KINDS, derive
from models.live_state.timestamps import draw_cut
from models.live_state.user_record import LiveRecord
from models.schema.relationship import Relationship
from models.store.keys import SHARDS, Keys
from models.store.transaction import Commit, Outcome
from offline.snapshot.live_events import read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("t")
PEOPLE = ("ann", "bea", "cid")
AS_OF = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
START = int(AS_OF.timestamp()) * 10**6
DAYS = 90
Bits = dict[tuple[str, str], int]

events = st.tuples(
    st.just("event"), st.sampled_from(PEOPLE), st.integers(1, 2), st.sampled_from(sorted(PAIR_KINDS)), st.booleans()
)
"""the last: whether the writer dies before the other person's record is updated"""
merges = st.tuples(st.just("merge"), st.booleans())
steps = st.one_of(events, events, events, st.just(("consume",)), st.just(("night",)), st.just(("watermark",)), merges)


class Dying(AsyncMemoryStore):
    """A client that dies before its second write."""

    commits = 0

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        self.commits += 1
        if self.commits == 2:
            raise StoreUnavailableError("dead")
        return await super().commit(commits)


class LiveNetwork:
    """A dataset of a few rows, what happened before it was exported, and all that happens to it."""

    def __init__(self, home: Path, before: Iterable[tuple[Any, ...]]) -> None:
        self.home, self.memory, self.now, self.watermark = home, MemoryStore(), START - 60_000_000, 0
        for step in before:
            self.step(step)
        self.now = START + 1_000_000
        (home / "users.csv").write_text("".join(f"{line}\n" for line in ("user_id", *PEOPLE)))
        (home / "connections.csv").write_text("user_id,other_id,created_at\nann,bea,\n")
        rows = [f"bea,cid,dismiss,{START // 10**6 - 1}", f"ann,cid,unblock,{START // 10**6 - 1}"]
        (home / "interactions.csv").write_text("\n".join(["user_id,other_id,kind,at", *rows]))
        (home / "schema.toml").write_text('as_of = "2026-11-01T00:00:00Z"\n')
        self.cut, self.base = self.night()

    def step(self, step: tuple[Any, ...]) -> None:
        self.now += 400_000
        match step:
            case ("event", viewer, on, kind, dies):
                other = PEOPLE[(PEOPLE.index(viewer) + on) % 3]
                store = Dying(self.memory) if dies else AsyncMemoryStore(self.memory)

                async def write() -> None:
                    event = Event(kind, viewer, other)
                    await write_events(store, KEYS, [event], clock=lambda: self.now)

                try:
                    anyio.run(write)
                except StoreUnavailableError:
                    self.consume()
            case ("consume",):
                self.consume()
            case ("night",):
                self.cut, self.base = self.night()
            case ("watermark",):
                self.watermark = self.cut
            case ("merge", only_long):
                compact(self.memory, KEYS, PEOPLE, watermark=self.watermark, now=self.now, only_long=only_long)

    def consume(self) -> None:
        consumer = LogConsumer(self.memory, KEYS, Archive(self.home, segment_bytes=300))
        for shard in range(SHARDS):
            consumer.run_once(shard)

    def night(self) -> tuple[int, Bits]:
        """Cut and bits of a version made of the dataset and of all that was acknowledged."""
        pack(Archive(self.home), dt.datetime.now(dt.UTC) + dt.timedelta(days=1000), 365)  # of all but the last file
        cut = draw_cut(self.memory, KEYS, now=self.now)
        return cut, bits_of(self.snapshot(cut))

    def snapshot(self, cut: int) -> Snapshot:
        live = read_live_events(self.home, self.memory, KEYS, cut=cut)
        started = AS_OF + dt.timedelta(days=1)
        return write_snapshot(self.home, self.home / "snapshot", started_at=started, live=live, forbidden_days=DAYS)

    def served(self) -> Bits:
        """What the version and the live records say of every pair."""
        bits: Bits = {}
        for viewer in PEOPLE:
            others = [other for other in PEOPLE if other != viewer]
            record = LiveRecord.unpack(self.memory.get(KEYS.live(viewer)))
            base = np.array([self.base.get((viewer, other), 0) for other in others], np.uint8)
            after = self.now - DAYS * 86_400 * 10**6
            held = derive(base, record.timestamps_us(others), cut=self.cut, refused_after=after)
            bits |= {(viewer, other): int(one) for other, one in zip(others, held, strict=True) if one}
        return bits


def bits_of(snapshot: Snapshot) -> Bits:
    names = snapshot.vocabulary.user_ids()
    forbidden = zip(*(rows.tolist() for rows in (*snapshot.forbidden(), snapshot.forbidden_kinds())), strict=True)
    bits = {(names[viewer], names[other]): kinds for viewer, other, kinds in forbidden}
    a, b, _ = snapshot.connections()
    for one, other in (*zip(a, b, strict=True), *zip(b, a, strict=True)):
        pair = (names[one], names[other])
        bits[pair] = bits.get(pair, 0) | Relationship.CONNECTED
    return bits


@given(st.lists(st.one_of(events, st.just(("consume",))), max_size=12), st.lists(steps, max_size=25))
@settings(max_examples=25, deadline=None)
def test_served_at_any_moment_is_what_a_night_that_knows_all_would_publish(
    before: Iterable[tuple[Any, ...]], taken: Iterable[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        network = LiveNetwork(Path(home), before)
        for step in taken:
            network.step(step)
        assert network.served() == bits_of(network.snapshot(network.now + 10**9))
