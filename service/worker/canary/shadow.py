"""A canary seen off the request path: vectors, candidates and lists of both versions for people who are drawn once.

What lists came to tells a version whose vectors are somebody else's only slowly: most candidates are friends of friends
either way. Here nothing waits for viewers. Friends must lie nearer by the canary's vectors than people who are no
friends, as they do in the active version, and the same people get lists of both versions that are compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from models.errors import ArtefactError, CorruptRecordError
from models.graph import Graph
from models.publishing.canary_record import Canary, Guardrail, Verdict
from models.ranker.ranker import Ranker
from models.schema.columns import Flag
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.worker.canary.guardrails import LEAST, SCORE_FACTOR, missing_candidates, waiting

SAMPLE = 1000
"""people whose candidates are looked up"""
PAIRS = 4000
"""friendships that are compared with as many pairs of people who are no friends"""
LISTS = 200
"""people whose lists are made with both versions"""
FIRST = 10
"""people of a list that are compared"""
CONTEXT = "web"
ERRORS = 4.0
"""standard errors that are granted to chance: each guardrail here is looked at once a canary"""
LEAST_KEPT = 0.5
"""share of the active version's advantage of friends over others that the canary's vectors must have"""
LEAST_AGREEMENT = 0.05
"""share of the first people of lists that must be in the lists of both versions"""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shadowed:
    """One of the two versions: its tables, and its directory on this host's disk."""

    version: str
    tables: Tables
    directory: Path


class Shadow:
    """The guardrails of a canary that need no viewer: looked at once, when the canary starts."""

    def __init__(
        self, store: SyncStore, keys: Keys, versions: Versions, tables_of: Callable[[str], Tables | None]
    ) -> None:
        """`tables_of` opens the tables of a version; None if that fails."""
        self._store, self._keys, self._versions, self._tables_of = store, keys, versions, tables_of
        self._seen: tuple[datetime, list[Guardrail]] | None = None
        """the start of a canary, and what it came to"""

    def guardrails(self, canary: Canary) -> list[Guardrail]:
        """Their verdicts; none as long as tables or ranker of a version cannot be opened here. Raises StoreError."""
        if self._seen is None or self._seen[0] != canary.started_at or not self._seen[1]:
            self._seen = canary.started_at, list(self._judged(canary))
        return self._seen[1]

    def _judged(self, canary: Canary) -> Iterator[Guardrail]:
        both = [self._opened(version) for version in (canary.control, canary.version)]
        control, own = both
        if control is None or own is None:
            return
        yield missing_candidates(*self._without_candidates(control), *self._without_candidates(own))
        yield from vector_guardrails(control, own)
        try:
            yield from self._lists(control, own)
        except ArtefactError:  # its files are damaged: a process that cannot serve it says so
            return

    def _opened(self, version: str) -> Shadowed | None:
        tables = self._tables_of(version)
        return None if tables is None else Shadowed(version, tables, self._versions.path(version))

    def _without_candidates(self, of: Shadowed) -> tuple[int, int]:
        """Of some active people how many have no candidates in the store, and how many were looked up.

        Workers make the missing ones, so it is looked up once.
        """
        rows = np.flatnonzero(of.tables.flags & np.uint8(Flag.ACTIVE))
        rows = np.random.default_rng(0).permutation(rows)[:SAMPLE].tolist()
        lengths = self._store.lengths([self._keys.block(of.version, row) for row in rows])
        return sum(not length for length in lengths), len(rows)

    def _lists(self, control: Shadowed, own: Shadowed) -> Iterator[Guardrail]:
        """The guardrails of the lists that both versions make for the same people. Raises ArtefactError."""
        rows, theirs = common_rows(control.tables, own.tables, LISTS)
        before, after = self._first(control, rows), self._first(own, theirs)
        lists = [(one, other) for one, other in zip(before, after, strict=True) if one.people and other.people]
        agreements = np.array([_agreement(one.people, other.people) for one, other in lists])
        moves = np.array([other.log_odds - one.log_odds for one, other in lists])
        odds = [exp(sum(of.log_odds for of in side) / len(side)) for side in zip(*lists, strict=True)]
        yield _agreeing(agreements)
        yield _promising(moves, odds)

    def _first(self, of: Shadowed, rows: Rows) -> list["FirstPeople"]:
        """The first people of the lists of these rows as the version scores its candidates in the store, unfiltered.

        Empty for those without candidates. Raises ArtefactError.
        """
        ranker = Ranker.open(of.directory / "model")
        records = self._store.get_many([self._keys.block(of.version, row) for row in rows.tolist()])
        return [first_people(ranker, of.tables, record) for record in records]


@dataclass(frozen=True)
class FirstPeople:
    """The first people of one list."""

    people: frozenset[str]
    log_odds: float
    """mean of theirs"""


def first_people(ranker: Ranker, tables: Tables, record: bytes | None) -> FirstPeople:
    """Those of the list that a ranker makes of a packed block; nobody if there is none, or it does not read back."""
    try:
        block = Block.unpack(record, tables.n) if record else None
    except CorruptRecordError:
        block = None
    if block is None or not len(block):
        return FirstPeople(frozenset(), 0.0)
    scores = ranker.scores(tables, block, CONTEXT).astype(np.float64)
    best = np.argsort(-scores, kind="stable")[:FIRST]
    kept = np.clip(scores[best], 1e-6, 1 - 1e-6)
    people = frozenset(tables.vocabulary.user_id(row) for row in block.rows[best].tolist())
    return FirstPeople(people, float(np.log(kept / (1 - kept)).mean()))


def common_rows(control: Tables, own: Tables, most: int) -> tuple[Rows, Rows]:
    """Rows of some people who are active in both versions, in the one and in the other."""
    rows = np.random.default_rng(1).permutation(np.flatnonzero(control.flags & np.uint8(Flag.ACTIVE)))[: 2 * most]
    theirs = own.vocabulary.rows(control.vocabulary.user_id(row) for row in rows.tolist()).astype(np.int64)
    there = theirs >= 0
    there[there] = (own.flags[theirs[there]] & np.uint8(Flag.ACTIVE)) > 0
    return rows[there][:most], theirs[there][:most]


def vector_guardrails(control: Shadowed, own: Shadowed) -> Iterator[Guardrail]:
    """Whether the vectors of two versions know who are friends: those of the towers, and the embeddings.

    Embeddings are on the disk of the host whose night it was, and in no store: elsewhere they are not compared.
    """
    what = "friends who lie nearer by {} than people who are no friends"
    yield _knowing("towers", what.format("the towers"), *(_near_by_towers(of.tables) for of in (control, own)))
    paths = [of.directory / "candidates" / "embeddings.npy" for of in (control, own)]
    if all(path.is_file() for path in paths):
        found = [_near_by_embedding(of.tables, path) for of, path in zip((control, own), paths, strict=True)]
        yield _knowing("embeddings", what.format("embedding"), *found)


def friends_and_others(graph: Graph, most: int) -> tuple[Rows, Rows, Rows]:
    """(p,) rows of people, of a friend of each, and of somebody else who is none; p is `most` at most.

    Others are drawn as ends of friendships, as friends are: neither has more friends than the other.
    """
    if not len(graph.indices):
        nobody = np.zeros(0, np.int64)
        return nobody, nobody, nobody
    random = np.random.default_rng(2)
    places = random.integers(0, len(graph.indices), most)
    people = np.searchsorted(graph.indptr, places, side="right") - 1
    friends, others = graph.indices[places], graph.indices[random.integers(0, len(graph.indices), most)]
    known = [other in graph.neighbours(row) for row, other in zip(people.tolist(), others.tolist(), strict=True)]
    apart = (people != others) & ~np.array(known)
    return people[apart], friends[apart].astype(np.int64), others[apart].astype(np.int64)


def _near_by_towers(tables: Tables) -> Float64s:
    people, friends, others = friends_and_others(tables.graph, PAIRS)
    towers = tables.towers
    of_codes = (towers.scales.astype(np.float64) ** 2) * towers.own
    queries = towers.codes[people] * of_codes
    return _nearer(queries, towers.codes[friends], towers.codes[others])


def _near_by_embedding(tables: Tables, path: Path) -> Float64s:
    embeddings = files.read_array(path, np.float32, (tables.n, None))
    people, friends, others = friends_and_others(tables.graph, PAIRS)
    return _nearer(embeddings[people].astype(np.float64), embeddings[friends], embeddings[others])


def _nearer(people: Float64s, friends: NDArray[np.number], others: NDArray[np.number]) -> Float64s:
    """(p,) 1 where the friend has the higher product, 0 where the other has, a half where they are equal."""
    gain = np.einsum("ij,ij->i", people, friends.astype(np.float64) - others)
    nearer: Float64s = (np.sign(gain) + 1) / 2
    return nearer


def _knowing(name: str, what: str, control: Float64s, own: Float64s) -> Guardrail:
    """Whether the canary has enough of the active version's advantage over a half, which is chance."""
    if min(len(control), len(own)) < LEAST:
        return waiting(name, what)
    shares = [float(one.mean()) for one in (control, own)]
    advantages = [share - 0.5 for share in shares]
    errors = [ERRORS * sqrt(0.25 / len(one)) for one in (control, own)]
    limit = 0.5 + LEAST_KEPT * max(advantages[0], 0.0)
    is_lost = advantages[1] + errors[1] < LEAST_KEPT * (advantages[0] - errors[0])
    return Guardrail(
        name=name,
        verdict="failed" if is_lost else "ok",
        canary=shares[1],
        control=shares[0],
        limit=limit,
        sentence=f"{what}: {shares[1]:.1%}, in the active version {shares[0]:.1%}, by chance 50%; fewer than "
        f"{limit:.1%} beyond chance fails",
    )


def _agreement(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of the shorter list's people who are in both."""
    return len(one & other) / min(len(one), len(other))


def _agreeing(shares: Float64s) -> Guardrail:
    """Whether the lists of the two versions have nearly nobody in common."""
    name, what = "agreement", f"first {FIRST} people of lists of both versions for the same people who are in both"
    if len(shares) < LEAST:
        return waiting(name, what)
    mean, error = float(shares.mean()), ERRORS * float(shares.std(ddof=1)) / sqrt(len(shares))
    verdict: Verdict = "failed" if mean + error < LEAST_AGREEMENT else "ok"
    said = f"{what}: {mean:.1%}, over {len(shares):,} people; fewer than {LEAST_AGREEMENT:.0%} beyond chance fails"
    return Guardrail(name=name, verdict=verdict, canary=mean, control=1.0, limit=LEAST_AGREEMENT, sentence=said)


def _promising(moves: Float64s, odds: list[float]) -> Guardrail:
    """Whether the canary promises the same people other odds: those of a wrong calibration."""
    name, what = "odds", "mean odds of the first people of lists of both versions for the same people"
    if len(moves) < LEAST:
        return waiting(name, what)
    moved, error = float(moves.mean()), ERRORS * float(moves.std(ddof=1)) / sqrt(len(moves))
    direction = 1 if moved > 0 else -1
    return Guardrail(
        name=name,
        verdict="failed" if abs(moved) - error > log(SCORE_FACTOR) else "ok",
        canary=odds[1],
        control=odds[0],
        limit=odds[0] * SCORE_FACTOR**direction,
        sentence=f"{what}: {odds[1]:.4f}, in the active version {odds[0]:.4f}, a factor of {exp(abs(moved)):.2f} over "
        f"{len(moves):,} people; {SCORE_FACTOR:g} beyond chance fails",
    )
