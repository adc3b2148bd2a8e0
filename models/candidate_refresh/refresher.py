"""Makes people's candidates as they are now, and writes them over what a version has of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import structlog

from models.live_state.neighbourhood import Neighbourhood, neighbourhood
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import HiddenSet
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS, now_us
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.new_user_record import Newcomer
from models.version.tables import Tables

ROUNDS = 3
"""how often a person who changes while her block is made is made another one at once"""
DAY_US = 86_400 * MICROSECONDS


class Generator(Protocol):
    """Makes candidates in one version, for whoever is in it and for whoever is not."""

    def block(self, row: int) -> Block:
        """The block of a row as the version's tables know the person."""
        ...

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        """The block of a row with another circle and, unless None, another profile than the tables have."""
        ...

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        """The record of a person whom the tables do not know."""
        ...


class Refreshed(Enum):
    """What became of one person."""

    BLOCK = "block"
    NEWCOMER = "newcomer"
    UNKNOWN = "nobody"
    """neither the version nor live state knows anything that candidates could be made of"""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One version with its maker."""

    manifest: Manifest
    tables: Tables
    generator: Generator

    @property
    def version(self) -> str:
        return self.manifest.version


@dataclass(frozen=True, slots=True)
class _Now:
    """What one person's candidates depend on."""

    row: int | None
    around: Neighbourhood
    profile: LiveProfile
    """what was put since the version's cut; of a newcomer, all that is live"""
    known: bool
    """whether there is anything to make candidates of"""
    moved: bool
    """whether anything differs from what the tables say"""
    timestamp_us: int


@dataclass
class Refresher:
    """Refreshes people for one version after the other. One thread at a time."""

    store: SyncStore
    keys: Keys
    forbidden_days: int
    contexts: Sequence[str]
    """surfaces whose ranked lists are dropped with the block they were made from"""
    clock: Callable[[], int] = now_us
    hidden: HiddenSet = field(default_factory=HiddenSet)
    """brought up to date by whoever calls (models.live_state.visibility.follow_blocking)"""

    def refresh(self, loaded: LoadedVersion, people: Sequence[str]) -> dict[str, Refreshed]:
        """Makes and writes what a version shall have of these people; what became of each.

        Who changes meanwhile is made anew, so that what stands in the store at the end, whoever else refreshed the same
        person, is not older than what was known when this began. Raises StoreError.
        """
        outcome: dict[str, Refreshed] = {}
        before = self._read(loaded, people)
        for _ in range(ROUNDS):
            outcome |= self._make(loaded, before)
            after = self._read(loaded, list(before))
            before = {person: now for person, now in after.items() if now != before[person]}
            if not before:
                break
        return outcome

    def lists(self, loaded: LoadedVersion, person: str) -> list[str]:
        """The keys of the ranked lists that a version may have of one person."""
        row = loaded.tables.vocabulary.row(person)
        return [] if row is None else [self.keys.ranked(loaded.version, row, one) for one in self.contexts]

    def written(self, loaded: LoadedVersion, person: str) -> list[str]:
        """The keys under which a version may have something that was made for one person."""
        version, row = loaded.version, loaded.tables.vocabulary.row(person)
        keys = [self.keys.newcomer(version, person)]
        return keys if row is None else [self.keys.block(version, row), *keys]

    def _read(self, loaded: LoadedVersion, people: Sequence[str]) -> dict[str, _Now]:
        """The situations of people, in two trips."""
        records = self.store.get_many([self.keys.live(person) for person in people])
        profiles = self.store.get_many([self.keys.live_profile(person) for person in people])
        read = zip(people, records, profiles, strict=True)
        return {
            person: self._now(loaded, person, LiveRecord.unpack(record), LiveProfile.unpack(profile))
            for person, record, profile in read
        }

    def _now(self, loaded: LoadedVersion, person: str, record: LiveRecord, profile: LiveProfile) -> _Now:
        cut = loaded.manifest.cut_us
        # whoever came back after an erasure is another person, whom a version made before it does not know
        erased = record.erased > cut or self.hidden.is_erased(person, cut)
        row = None if erased else loaded.tables.vocabulary.row(person)
        around = neighbourhood(
            loaded.tables,
            row,
            record,
            cut=cut,
            refused_after=self.clock() - self.forbidden_days * DAY_US,
            is_erased=lambda other: self.hidden.is_erased(other, cut),
        )
        if row is not None:
            profile.drop_before(cut)
        moved = bool(profile.columns) or any(
            timestamp_us > cut for edge_events in record.edges.values() for timestamp_us in edge_events.values()
        )
        known = row is not None or bool(profile.columns) or bool(len(around.friends))
        return _Now(row, around, profile, known, moved, max(record.graph_changed_at, record.profile))

    def _make(self, loaded: LoadedVersion, situations: Mapping[str, _Now]) -> dict[str, Refreshed]:
        version = loaded.version
        outcome: dict[str, Refreshed] = {}
        written: dict[str, bytes] = {}
        dropped: list[str] = []
        for person, now in situations.items():
            key = self.keys.newcomer(version, person)
            try:
                if now.row is not None:
                    written[self.keys.block(version, now.row)] = self._block(loaded, now).pack()
                    dropped += [key, *self.lists(loaded, person)]
                    outcome[person] = Refreshed.BLOCK
                elif now.known:
                    profile = now.profile.over({}, 0)
                    written[key] = loaded.generator.newcomer(now.around, profile, now.timestamp_us).pack()
                    outcome[person] = Refreshed.NEWCOMER
                else:
                    dropped.append(key)
                    outcome[person] = Refreshed.UNKNOWN
            except Exception as error:  # one person's failure is not the others'
                structlog.get_logger().error("block_not_made", row=now.row, version=version, exc_info=error)
                outcome[person] = Refreshed.FAILED
        self.store.set_many(written.items())
        self.store.delete(dropped)
        return outcome

    def _block(self, loaded: LoadedVersion, now: _Now) -> Block:
        if now.row is None:
            raise ValueError("a block is made for a row")
        if not now.moved:
            return loaded.generator.block(now.row)
        profile = None
        if now.profile.columns:
            profile = now.profile.over(loaded.tables.profile(now.row), loaded.manifest.cut_us)
        return loaded.generator.overlay(now.row, now.around, profile)
