"""Whatever happens in whatever order, no list ever holds a forbidden person, and no reason a hidden one.

Sequences of events, profile changes, erasures, nights, activations, rollbacks, crashes and lists, drawn by hypothesis,
against the real service, store and worker, beside a model that is a few sets. Clocks of service, worker and night step
by two hours, and the store evicts. Eight parts, so that processes share them: 2,000 sequences as they stand, of which
`-m "not slow"` leaves the first part. Every second service draws its lists. A deeper run of 20,000, and one in which
all services draw:

    PYMK_SEQUENCES=20000 pytest -n 2 tests/integration/live/in_process/test_live_rules.py
    PYMK_SEQUENCES=20000 PYMK_DRAWN_ALWAYS=1 pytest -n 2 tests/integration/live/in_process/test_live_rules.py
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from models.errors import PymkError
from tests.support.clock import clock_ahead
from tests.support.ring_network import PEOPLE, VisibilityModel
from tests.support.service import ServiceFactory, ServiceHarness

PARTS = 8
SEQUENCES = int(os.environ.get("PYMK_SEQUENCES", "2000"))
LEAST_SEQUENCES = 200
"""of a part from which on each kind of list must have been seen"""
STEPS = int(os.environ.get("PYMK_STEPS", "16"))
STRANGERS = ("mia", "new/ú 🦉")
FLAGS = ("discoverable", "active", "connections_visible")
KINDS = (
    *("impression", "click", "view", "invite", "withdraw", "accept", "decline", "connect", "disconnect"),
    *("dismiss", "undismiss", "block", "unblock", "report"),
)
Pair = tuple[str, str]


def apart(person: str, steps: int) -> Pair:
    """Returns a person and the one so many steps further around the ring, who may be their candidate."""
    at = PEOPLE.index(person) if person in PEOPLE else 0
    return person, PEOPLE[(at + steps) % len(PEOPLE)]


counts = Counter[str]()
"""over all sequences of a process, what lists had to show: rules that are never tried prove nothing"""


class LiveRules(RuleBasedStateMachine):
    """One sequence; `start` is that of the fixture `services`."""

    start: Callable[[], ServiceHarness]
    people = st.sampled_from((*PEOPLE, *STRANGERS))
    steps = st.sampled_from([3, 4, 9, 8])
    pairs = st.tuples(people, people).filter(lambda pair: pair[0] != pair[1]) | st.builds(apart, people, steps)
    kinds = st.sampled_from(KINDS)
    moments = st.none() | st.sampled_from([0, 1_700_000_000, 1_900_000_000])
    names = st.none() | st.sampled_from(["e1", "e2"])
    flags = st.dictionaries(st.sampled_from(FLAGS), st.sampled_from([True, False, False, None]), min_size=1)
    columns = st.dictionaries(st.just("company"), st.sampled_from(["Acme", "Bolt", "Cork", None]))

    def __init__(self) -> None:
        super().__init__()
        self.harness = self.start()
        self.model = VisibilityModel()
        self.waiting: list[str] = []
        """versions that are made and not published"""
        self.erased = self.published = False

    def teardown(self) -> None:
        self.harness.close()

    @rule(pair=pairs, kind=kinds, at=moments, event_id=names, looks=st.booleans())
    def event(self, pair: Pair, kind: str, at: int | None, event_id: str | None, looks: bool) -> None:
        self._post([self._body(kind, pair, at, event_id)])
        self._both_lists(pair, looks)

    @rule(batch=st.lists(st.tuples(kinds, pairs), min_size=2, max_size=12), looks=st.booleans())
    def batch(self, batch: list[tuple[str, Pair]], looks: bool) -> None:
        self._post([self._body(kind, pair, None, None) for kind, pair in batch])
        for _, pair in batch:
            self._both_lists(pair, looks)

    @rule(pair=pairs, kind=kinds, left=st.integers(0, 1), is_done=st.booleans(), works=st.booleans())
    def lost_answer(self, pair: Pair, kind: str, left: int, is_done: bool, works: bool) -> None:
        """The service loses the store while it writes; whoever told of it tells again."""
        body = [self._body(kind, pair, None, f"lost-{len(self.model.done)}")]
        self.harness.failing.left, self.harness.failing.is_done = left, is_done
        answer = self.harness.request("POST", "/pymk/events", json=body)
        self.harness.failing.left = None
        assert answer.status_code in {202, 503}
        if works:
            self.harness.work(1)
        self._post(body, is_first=False)

    @rule(pair=pairs, flags=flags, columns=columns)
    def profile(self, pair: Pair, flags: dict[str, bool | None], columns: dict[str, str | None]) -> None:
        answer = self.harness.request("PUT", f"/pymk/users/{quote(pair[0], safe='')}", json=flags | columns)
        assert answer.status_code == 202, answer.text
        self.model.change_profile(pair[0], flags)

    @rule(person=people, comes_back=st.booleans())
    def erasure(self, person: str, comes_back: bool) -> None:
        answer = self.harness.request("DELETE", f"/pymk/users/{quote(person, safe='')}")
        assert answer.status_code == 202, answer.text
        self.model.erase(person)
        self.erased = True
        if comes_back:
            self.profile((person, ""), {}, {"company": "Acme"})

    @rule(rounds=st.integers(1, 3))
    def work(self, rounds: int) -> None:
        self.harness.work(rounds)

    @rule()
    def merge_records(self) -> None:
        self.harness.merge_records()

    @rule(service_ahead_h=st.sampled_from([0, -2, 2]), worker_ahead_h=st.sampled_from([0, -2, 2]))
    def clocks(self, service_ahead_h: int, worker_ahead_h: int) -> None:
        self.harness.service_ahead_h, self.harness.worker_ahead_h = service_ahead_h, worker_ahead_h

    @rule()
    def eviction(self) -> None:
        counts["evicted"] += self.harness.evict()

    @rule(operations=st.integers(0, 40), is_done=st.booleans())
    def kill_worker(self, operations: int, is_done: bool) -> None:
        self.harness.kill_worker(operations, is_done=is_done)

    @precondition(lambda self: self.erased)
    @rule()
    def continue_erasures(self) -> None:
        self.harness.continue_erasures()

    @precondition(lambda self: len(self.waiting) < 2)
    @rule(
        ahead_h=st.sampled_from([0, 0, -2, 2]),
        publishes=st.booleans(),
        meanwhile=st.lists(st.tuples(kinds, pairs), max_size=2),
        replayed=st.booleans(),
    )
    def night(self, ahead_h: int, publishes: bool, meanwhile: list[tuple[str, Pair]], replayed: bool) -> None:
        self.waiting.append(self.harness.night(ahead_h))
        self._post([self._body(kind, pair, None, None) for kind, pair in meanwhile])
        if publishes:
            self.publication(replayed, True)

    @precondition(lambda self: self.waiting)
    @rule(replayed=st.booleans(), follows=st.booleans())
    def publication(self, replayed: bool, follows: bool) -> None:
        version = self.waiting.pop(0)
        self.published = True
        self._switch(lambda: self.harness.publish(version, replayed=replayed), follows)

    @precondition(lambda self: self.published)
    @rule(replayed=st.booleans(), follows=st.booleans())
    def rollback(self, replayed: bool, follows: bool) -> None:
        self._switch(lambda: self.harness.roll_back(replayed=replayed), follows)

    @precondition(lambda self: self.published)
    @rule(which=st.integers(0, 3), replayed=st.booleans(), follows=st.booleans())
    def activation(self, which: int, replayed: bool, follows: bool) -> None:
        ids = self.harness.versions.ids()
        self._switch(lambda: self.harness.activate(ids[which % len(ids)], replayed=replayed), follows)

    @rule(
        viewer=people,
        limit=st.sampled_from([1, 3, 20, 100]),
        context=st.sampled_from(["web", "mobile", "email"]),
        excluded=st.lists(people, max_size=2),
        fresh=st.booleans(),
        flushes=st.booleans(),
    )
    def one_list(self, viewer: str, limit: int, context: str, excluded: list[str], fresh: bool, flushes: bool) -> None:
        self._list(viewer, limit, context, excluded, fresh=fresh)
        if flushes:
            self.harness.flush()

    @rule(fresh=st.booleans())
    def every_list(self, fresh: bool) -> None:
        for viewer in sorted(self.model.known):
            self._list(viewer, 100, "web", [], fresh=fresh)
        self.harness.flush()

    @rule(pair=pairs, kind=kinds)
    def at_once(self, pair: Pair, kind: str) -> None:
        """A list is asked for while an event is written: it may know of it or not, the next one has to."""
        body, query = [self._body(kind, pair, None, None)], {"user_id": pair[0]}

        async def both() -> None:
            asked = self.harness.arequest("GET", "/pymk/recommendations", params=query)
            await asyncio.gather(asked, self.harness.arequest("POST", "/pymk/events", json=body))

        with clock_ahead(self.harness.service_ahead_h):
            self.harness.runner.run(both())
        if not set(pair) & self.model.erased:
            self.model.do(kind, *pair)
        self.harness.flush()
        self._list(pair[0], 20, "web", [], fresh=False)

    def _body(self, kind: str, pair: Pair, at: int | None, event_id: str | None) -> dict[str, Any]:
        """With all that the contract lets an event say: the archive, the worker and the night have to read it again."""
        body = {"kind": kind, "user_id": pair[0], "other_id": pair[1], "at": at, "event_id": event_id}
        body |= {"request_id": "r-1", "context": "mobile", "position": 2}
        return {name: value for name, value in body.items() if value is not None}

    def _post(self, bodies: list[dict[str, Any]], *, is_first: bool = True) -> None:
        """Tells of events; `is_first` False: some of them may have been accepted before."""
        answer = self.harness.request("POST", "/pymk/events", json=bodies)
        assert answer.status_code == 202, answer.text
        expected = 0
        for body in bodies:
            kind, one, other = body["kind"], body["user_id"], body["other_id"]
            if {one, other} & self.model.erased:
                continue
            same = {(one, body["event_id"])} if "event_id" in body else set()
            same |= {(one, other, kind, str(body["at"]))} if "at" in body else set()
            if same & self.model.done:
                continue
            self.model.done |= same
            self.model.do(kind, one, other)
            expected += 1
        assert not is_first or answer.json() == {"accepted": expected}

    def _both_lists(self, pair: Pair, looks: bool) -> None:
        for viewer in pair if looks else ():
            self._list(viewer, 20, "web", [], fresh=False)

    def _switch(self, switch: Callable[[], None], follows: bool) -> None:
        try:
            switch()
            counts["switches"] += 1
        except PymkError as refusal:
            counts[f"refused: {type(refusal).__name__}"] += 1
        if follows:
            self.harness.follow()

    def _list(self, viewer: str, limit: int, context: str, excluded: list[str], *, fresh: bool) -> None:
        query = {"user_id": viewer, "limit": limit, "context": context, "exclude": ",".join(excluded)}
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        answer = self.harness.request("GET", "/pymk/recommendations", params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        counts[body["served"]] += 1
        counts["people"] += len(body["recommendations"])
        counts["mutual"] += self.model.check(body, viewer, limit, excluded)


@pytest.mark.parametrize("part", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in range(1, PARTS))])
def test_no_list_ever_holds_a_forbidden_person(services: ServiceFactory, part: int) -> None:
    sequence = type("LiveRules", (LiveRules,), {"start": staticmethod(services.start)})
    if settings().derandomize:  # as where CI is set: from one seed, all parts would draw the same sequences
        sequence = seed(part)(sequence)
    counts.clear()
    run_state_machine_as_test(
        sequence,
        settings=settings(
            max_examples=SEQUENCES // PARTS,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(counts))  # noqa: T201
    if SEQUENCES // PARTS >= LEAST_SEQUENCES:
        tried = {"ranked", "cache", "cold_start", "empty", "people", "mutual", "switches", "evicted"}
        assert tried <= {name for name, count in counts.items() if count}, counts
