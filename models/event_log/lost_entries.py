"""Finds in live records what the event log lacks: an entry and its user's record are written in one commit."""

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from models.errors import CorruptRecordError
from models.event_log.event import PROFILE, Entry
from models.event_log.repair import all_entries
from models.live_state.edges import OF_ONE, Direction
from models.live_state.profile_changes import LiveProfile
from models.live_state.timestamps import draw_cut
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import SyncStore

READ_AT_ONCE = 500


def lost_entries(store: SyncStore, keys: Keys, home: Path, shards: Collection[int]) -> list[Entry]:
    """The entries of these shards that live records and live profiles show, and neither log nor archive has.

    They lack what records do not keep: the client's time, the ids of event and request, the context and the position.
    Impressions, clicks and what a later event of the same pair overruled cannot be found. Reads every record of the
    shards. Raises StoreError, and ArtefactError if the archive of this home lacks archived entries.
    """
    cut = draw_cut(store, keys, now=0)  # what is written meanwhile is in the record and in the log, or in neither
    logged = {
        (entry.user_id, entry.timestamp_us)
        for entry in all_entries(store, keys, home)
        if shard_of(entry.user_id) in shards
    }
    lost = []
    for shard in sorted(shards):
        members = store.members_scan(keys.people(shard))
        while people := [member.decode() for member in islice(members, READ_AT_ONCE)]:
            records = store.get_many([keys.live(person) for person in people])
            profiles = store.get_many([keys.live_profile(person) for person in people])
            for person, record, profile in zip(people, records, profiles, strict=True):
                shown = _entries_of(UserId(person), record, profile)
                lost += [
                    entry
                    for entry in shown
                    if entry.timestamp_us <= cut and (entry.user_id, entry.timestamp_us) not in logged
                ]
    return lost


def _entries_of(person: UserId, packed: bytes | None, changes: bytes | None) -> Iterator[Entry]:
    """What a user did, by the live record and the live profile; nothing if they do not read back."""
    try:
        record, profile = LiveRecord.unpack(packed), LiveProfile.unpack(changes)
    except CorruptRecordError:  # it is rebuilt from the log
        return
    for other_id, edge_events in record.edges.items():
        for number, timestamp_us in edge_events.items():
            if number < Direction.IN and number not in OF_ONE:
                kind = EventKind(number).word
                yield Entry(kind, person, timestamp_us, other_id=UserId(other_id), at=timestamp_us)
    for timestamp_us in {at for at, _ in profile.columns.values()}:
        columns = {column: value for column, (at, value) in profile.columns.items() if at == timestamp_us}
        yield Entry(PROFILE, person, timestamp_us, columns=columns)
