"""Regenerates candidates of users from their current state, and replaces their blocks of a version."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

import structlog

from models.candidate_refresh.newcomer_suggestions import NewcomerSuggestions
from models.errors import CorruptRecordError
from models.live_state.compaction import note_damaged
from models.live_state.neighbourhood import Neighbourhood, neighbourhood
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import HiddenSet
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import DAY_US, now_us
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.new_user_record import Newcomer
from models.version.tables import Tables

ROUNDS = 3
"""how often at most a block is regenerated because its user changed in the meantime"""


class Generator(Protocol):
    """Generates candidates in one version, for users in its tables and for others."""

    def block(self, row: int) -> Block:
        """The block of a row, from the version's tables alone."""
        ...

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        """The block of a row with another neighbourhood and, unless None, another profile than in the tables."""
        ...

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        """The record of a user whom the tables do not have."""
        ...


class Refreshed(Enum):
    """The outcome for one user."""

    BLOCK = "block"
    NEWCOMER = "newcomer"
    UNKNOWN = "nobody"
    """neither the version nor live state has data from which candidates can be generated"""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One version with its generator."""

    manifest: Manifest
    tables: Tables
    generator: Generator

    @property
    def version(self) -> str:
        return self.manifest.version


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the candidates of one user depend on."""

    row: int | None
    around: Neighbourhood
    profile: LiveProfile
    """the changes since the version's cut; of a new user, all columns"""
    has_data: bool
    """whether candidates can be generated"""
    has_changed: bool
    """whether anything differs from the tables"""
    timestamp_us: int

    def without_contacts(self) -> "_Inputs | None":
        """The same without the contacts, which tell others nothing; None if nothing else is known of the user."""
        if not len(self.around.contacts):
            return self
        if self.row is None and not self.profile.columns and not len(self.around.friends):
            return None
        return replace(self, around=Neighbourhood(self.around.friends, self.around.known))


@dataclass
class Refresher:
    """Refreshes users in any version. For one thread at a time."""

    store: SyncStore
    keys: Keys
    forbidden_days: int
    contexts: Sequence[str]
    """contexts whose ranked lists are dropped together with their block"""
    clock: Callable[[], int] = now_us
    hidden: HiddenSet = field(default_factory=HiddenSet)
    """the caller keeps it up to date (models.live_state.visibility.follow_blocking)"""
    suggestions: NewcomerSuggestions | None = None
    """suggests newcomers to their first candidates; None: nobody does"""

    def refresh(self, loaded: LoadedVersion, people: Sequence[str]) -> dict[str, Refreshed]:
        """Generates and writes the blocks and records of these users in a version; returns the outcome of each.

        A user who changes meanwhile is refreshed again: even with concurrent refreshes, what the store holds at the end
        is not older than the state at the start. Raises StoreError.
        """
        before = self._read(loaded, people)
        outcome = {person: Refreshed.FAILED for person in people if person not in before}
        for _ in range(ROUNDS):
            outcome |= self._generate(loaded, before)
            after = self._read(loaded, list(before))
            before = {person: now for person, now in after.items() if now != before[person]}
            if not before:
                break
        return outcome

    def lists(self, loaded: LoadedVersion, person: str) -> list[str]:
        """The keys of the ranked lists that a version may have of one user."""
        row = loaded.tables.vocabulary.row(person)
        return [] if row is None else [self.keys.ranked(loaded.version, row, context) for context in self.contexts]

    def written(self, loaded: LoadedVersion, person: str) -> list[str]:
        """The keys that a version may have of one user."""
        version, row = loaded.version, loaded.tables.vocabulary.row(person)
        keys = [self.keys.newcomers(version), self.keys.newcomer(version, person)]
        return keys if row is None else [self.keys.block(version, row), *keys]

    def _read(self, loaded: LoadedVersion, people: Sequence[str]) -> dict[str, _Inputs]:
        """The inputs of users, in two round trips; of those whose record or profile does not read back none."""
        records = self.store.get_many([self.keys.live(person) for person in people])
        profiles = self.store.get_many([self.keys.live_profile(person) for person in people])
        inputs: dict[str, _Inputs] = {}
        for person, packed, changes in zip(people, records, profiles, strict=True):
            try:
                record, profile = LiveRecord.unpack(packed), LiveProfile.unpack(changes)
            except CorruptRecordError as error:  # the others go on
                note_damaged(self.store, self.keys, person, error)
                continue
            inputs[person] = self._inputs(loaded, person, record, profile)
        return inputs

    def _inputs(self, loaded: LoadedVersion, person: str, record: LiveRecord, profile: LiveProfile) -> _Inputs:
        cut = loaded.manifest.cut_us
        # a user who returned after an erasure is another one, whom an older version does not have
        erased = record.erased > cut or self.hidden.is_erased(person, cut)
        row = None if erased else loaded.tables.vocabulary.row(person)
        around = neighbourhood(
            loaded.tables,
            row,
            record,
            cut=cut,
            refused_after=self.clock() - self.forbidden_days * DAY_US,
            is_erased=lambda other: self.hidden.is_erased(other, cut),
            flags_over=lambda other, base: self.hidden.over(other, base, cut),
        )
        if row is not None:
            profile.drop_before(cut)
        has_changed = (
            bool(len(around.contacts))
            or bool(profile.columns)
            or any(timestamp_us > cut for edge_events in record.edges.values() for timestamp_us in edge_events.values())
        )
        has_data = row is not None or bool(profile.columns) or bool(len(around.friends) or len(around.contacts))
        return _Inputs(row, around, profile, has_data, has_changed, max(record.graph_changed_at, record.profile))

    def _generate(self, loaded: LoadedVersion, inputs: Mapping[str, _Inputs]) -> dict[str, Refreshed]:
        version = loaded.version
        outcome: dict[str, Refreshed] = {}
        written: dict[str, bytes] = {}
        dropped: list[str] = []
        found: dict[str, bytes | None] = {}
        for person, now in inputs.items():
            key = self.keys.newcomer(version, person)
            try:
                if now.row is not None:
                    written[self.keys.block(version, now.row)] = self._block(loaded, now).pack()
                    dropped += [key, *self.lists(loaded, person)]
                    outcome[person] = Refreshed.BLOCK
                elif now.has_data:
                    written[key] = self._newcomer(loaded, now)
                    outcome[person] = Refreshed.NEWCOMER
                    found[person] = self._suggested(loaded, now, written[key])
                else:
                    dropped.append(key)
                    outcome[person] = Refreshed.UNKNOWN
            except Exception as error:  # the other users of the batch do not fail with this one
                structlog.get_logger().error("block_not_generated", row=now.row, version=version, exc_info=error)
                outcome[person] = Refreshed.FAILED
        # the set of newcomers never lacks one who has a record
        if self.suggestions is not None and found:
            self.suggestions.suggest({person: one for person, one in found.items() if one is not None}, loaded)
        with_contacts = [person.encode() for person, now in inputs.items() if len(now.around.contacts)]
        self.store.members_add(self.keys.by_contacts, with_contacts)
        newcomers = self.keys.newcomers(version)
        self.store.members_add(newcomers, [person.encode() for person in found])
        self.store.set_many(written.items())
        self.store.delete(dropped)
        without = [person for person, how in outcome.items() if how in (Refreshed.BLOCK, Refreshed.UNKNOWN)]
        self.store.members_remove(newcomers, [person.encode() for person in without])
        by_contacts = set(with_contacts)
        others = [person.encode() for person in inputs if person.encode() not in by_contacts]
        self.store.members_remove(self.keys.by_contacts, others)
        return outcome

    @staticmethod
    def _newcomer(loaded: LoadedVersion, now: _Inputs) -> bytes:
        """The packed record of a user whom the tables do not have."""
        return loaded.generator.newcomer(now.around, now.profile.over({}, 0), now.timestamp_us).pack()

    def _suggested(self, loaded: LoadedVersion, now: _Inputs, record: bytes) -> bytes | None:
        """The record of a newcomer by which others are told of her; None if they are not.

        From whom she is suggested to, nobody can tell whom she has in her address book.
        """
        alone = now.without_contacts()
        if alone is now or self.suggestions is None:
            return record
        return None if alone is None else self._newcomer(loaded, alone)

    def _block(self, loaded: LoadedVersion, now: _Inputs) -> Block:
        if now.row is None:
            raise ValueError("only a user with a row has a block")
        if not now.has_changed:
            return loaded.generator.block(now.row)
        profile = None
        if now.profile.columns:
            profile = now.profile.over(loaded.tables.profile(now.row), loaded.manifest.cut_us)
        return replace(loaded.generator.overlay(now.row, now.around, profile), made_at=now.timestamp_us)
