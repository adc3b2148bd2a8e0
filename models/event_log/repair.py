"""Rebuilds live records that do not read back, from the event log and its archive."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from models.errors import StoreUnavailableError
from models.event_log.archive.archive import Archive
from models.event_log.event import CONTACTS, ERASE, PROFILE, Entry
from models.event_log.log_entries import log_entries
from models.event_log.write_profile import flags_changed
from models.live_state import journal
from models.live_state.edges import TWO_SIDED, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.profile_changes import LiveProfile
from models.live_state.retention import read_watermark_blocking
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.user_record import PREFIX_BYTES, LiveRecord
from models.schema.vocabulary import UserId
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import STREAM_START, SyncStore
from models.store.transaction import Add, Append, Commit, Guard, Outcome, Write
from models.system.clock import now_us

ATTEMPTS = 5


def damaged_people(store: SyncStore, keys: Keys) -> list[str]:
    """The users whose live record was found not to read back, sorted."""
    return sorted(member.decode() for member in store.members(keys.damaged))


def repair(store: SyncStore, keys: Keys, home: Path, people: Iterable[str]) -> dict[str, int]:
    """Writes the live records and live profiles of users anew; returns how many entries of the log each was built from.

    They hold what was acknowledged after the watermark. Raises StoreError, and ArtefactError if the archive of this
    home lacks archived entries; then nothing was changed.
    """
    wanted, repaired = set(people), dict[str, int]()
    watermark = read_watermark_blocking(store, keys)
    for _ in range(ATTEMPTS):
        asked = sorted(wanted)
        lengths = dict(zip(asked, store.lengths([keys.live(person) for person in asked]), strict=True))
        for person, entries in _entries_of(store, keys, home, wanted).items():
            packed = store.get(keys.live(person))
            if len(packed or b"") != lengths[person]:  # there were further events meanwhile
                continue
            commit = _rebuilt(keys, person, packed, entries, watermark, now_us())
            if store.commit([commit])[0] is Outcome.APPLIED:
                repaired[person] = len(entries)
                _match_anew(store, keys, person)
                wanted.discard(person)
        if not wanted:
            store.members_remove(keys.damaged, [person.encode() for person in repaired])
            return repaired
    raise StoreUnavailableError("The records to repair change all the time; stop what writes events, and try again.")


def _match_anew(store: SyncStore, keys: Keys, person: str) -> None:
    """Has the worker write into a repaired record who is among the user's contacts: the log does not name them."""
    if store.get(keys.contacts(person)) is not None:
        entry = Entry(CONTACTS, UserId(person), take_timestamp_blocking(store, keys, now=now_us()))
        store.commit([Commit(appends=[Append(keys.log(shard_of(person)), entry.encode())])])


def _entries_of(store: SyncStore, keys: Keys, home: Path, people: set[str]) -> Mapping[str, list[Entry]]:
    """The entries that concern each of these users, in the order of their timestamps."""
    found: dict[str, dict[tuple[int, str], Entry]] = {person: {} for person in people}
    for entry in all_entries(store, keys, home):
        for person in people.intersection((entry.user_id, entry.other_id or "")):
            found[person][entry.timestamp_us, entry.user_id] = entry
    return {person: [own[key] for key in sorted(own)] for person, own in found.items()}


def all_entries(store: SyncStore, keys: Keys, home: Path) -> Iterator[Entry]:
    """Every entry of the archive and of the log that reads back, some perhaps twice.

    Raises ArtefactError if the archive lacks archived entries.
    """
    archive = Archive(home)
    for shard in range(SHARDS):
        archived = store.get(keys.archived(shard))
        log = [entry for _, entry in log_entries(store, keys, shard)]
        lines = archive.read(shard, STREAM_START if archived is None else archived.decode())
        yield from (entry for _, entry in lines if entry is not None)
        yield from log


def record_of(person: str, entries: Iterable[Entry], watermark: int = 0) -> tuple[LiveRecord, LiveProfile]:
    """The live record and profile of a user that entries of the log amount to, in the order of their timestamps."""
    record, profile = LiveRecord(watermark=watermark), LiveProfile()
    for entry in entries:
        timestamp_us = entry.timestamp_us
        if entry.kind == ERASE and entry.user_id == person:
            erased = max(timestamp_us, watermark)
            record, profile = LiveRecord(last=timestamp_us, erased=timestamp_us, watermark=erased), LiveProfile()
        elif entry.kind == PROFILE and entry.columns is not None:
            profile.put(entry.columns, timestamp_us)
            changed = flags_changed(entry.user_id, entry.columns, timestamp_us).flags.items()
            record.merge([JournalEntry(journal.PROFILE, timestamp_us)])
            record.merge(JournalEntry.of_flag(flag, value, timestamp_us) for flag, value in changed)
        elif (kind := entry.event_kind) is not None and entry.other_id is not None:
            if entry.user_id == person:
                record.merge([JournalEntry(edge_event(Direction.OUT, kind), timestamp_us, entry.other_id)])
            elif kind in TWO_SIDED:
                record.merge([JournalEntry(edge_event(Direction.IN, kind), timestamp_us, entry.user_id)])
    profile.drop_before(watermark)
    return record, profile


def _rebuilt(
    keys: Keys, person: str, packed: bytes | None, entries: Iterable[Entry], watermark: int, now: int
) -> Commit:
    """The commit that replaces a record by what the entries amount to, if it is still as it was read."""
    record, profile = record_of(person, entries, watermark)
    live, member = keys.live(person), Add(keys.people(shard_of(person)), person.encode())
    return Commit(
        guards=[Guard(live, packed and packed[:PREFIX_BYTES], len(packed or b""))],
        writes=[Write(live, record.next_revision(now).pack()), Write(keys.live_profile(person), profile.pack())],
        adds=[member],
    )
