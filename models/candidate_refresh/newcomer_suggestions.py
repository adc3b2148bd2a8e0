"""Suggests people who joined since the night to those whom they will probably know: the first of their own candidates.

A version does not have newcomers, so they are in nobody's candidate block. When the worker has made candidates for one,
it notes her in the live records of the first of them, and their lists may give her a place (PYMK_NEWCOMERS_SHARE).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from models.errors import CorruptRecordError
from models.event_log.reciprocal_update import MOST_OTHERS_BYTES, extend_record, in_index
from models.live_state.edges import NEWCOMER
from models.live_state.journal import JournalEntry
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.user_record import LiveRecord
from models.schema.vocabulary import Row
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit
from models.system.clock import DAY_US, now_us
from models.version.new_user_record import Newcomer
from models.version.tables import Tables

SUGGESTED_TO = 30
"""people to whom a newcomer is suggested"""
MOST_A_DAY = 20
"""newcomers who are suggested to one person within a day: else the best connected would have them all"""
MOST_FRIENDS = 10
"""friends with whom a newcomer is still one"""


class HasTables(Protocol):
    """A version whose tables are open."""

    @property
    def version(self) -> str: ...

    @property
    def tables(self) -> Tables: ...


class NewcomerSuggestions:
    """Suggests newcomers in one store. For one thread at a time."""

    def __init__(self, store: SyncStore, keys: Keys, clock: Callable[[], int] = now_us) -> None:
        self._store, self._keys, self._clock = store, keys, clock
        self._day, self._given, self._known = 0, Counter[str](), dict[str, int]()

    def suggest(self, records: Mapping[str, bytes], loaded: HasTables) -> int:
        """Notes newcomers, of whom these are the new records, with those whom they will know; returns how often.

        A newcomer is suggested again when she has made a friend, since her candidates are others then. Of one who was
        erased while her candidates were made nothing is noted.
        """
        self._begin_day()
        if not records:
            return 0
        # the notes are as of before this read: an erasure after it is later than they are
        at = take_timestamp_blocking(self._store, self._keys, now=self._clock())
        live = self._store.get_many([self._keys.live(person) for person in records])
        records = {person: records[person] for person, packed in zip(records, live, strict=True) if _is_here(packed)}
        commits: list[Commit] = []
        for person, packed in records.items():
            newcomer = Newcomer.unpack(packed)
            friends = len(newcomer.friends)
            if self._known.get(person, -1) >= friends or friends > MOST_FRIENDS:
                continue
            self._known[person] = friends
            entry = [JournalEntry(NEWCOMER, at, person)]
            for other in self._first(newcomer, loaded.tables):
                self._given[other] += 1
                extend = extend_record(self._keys, other, entry, most_bytes=MOST_OTHERS_BYTES)
                commits.append(Commit(extends=[extend], adds=[in_index(self._keys, other)]))
        if commits:
            self._store.commit(commits)
        return len(commits)

    def _first(self, newcomer: Newcomer, tables: Tables) -> list[str]:
        """The first candidates who have not been given MOST_A_DAY newcomers yet."""
        found: list[str] = []
        for row in newcomer.block.rows.tolist():
            other = tables.vocabulary.user_id(Row(row))
            if self._given[other] < MOST_A_DAY:
                found.append(other)
            if len(found) == SUGGESTED_TO:
                break
        return found

    def _begin_day(self) -> None:
        if (day := self._clock() // DAY_US) != self._day:
            self._day, self._given, self._known = day, Counter(), {}


def _is_here(packed: bytes | None) -> bool:
    """Whether a live record is of a user who was not erased since her last profile."""
    try:
        record = LiveRecord.unpack(packed)
    except CorruptRecordError:
        return False
    return packed is None or not record.erased or record.erased <= record.profile
