"""Removes erased users from the live records of others."""

from collections.abc import Mapping, Sequence
from itertools import islice

from models.errors import CorruptRecordError, StoreUnavailableError
from models.live_state import journal
from models.live_state.compaction import index_people, note_damaged, people_with_records
from models.live_state.user_record import PREFIX_BYTES, LiveRecord, base_length
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit, Guard, Outcome, Replace
from models.system.clock import now_us

READ_AT_ONCE = 500
ATTEMPTS = 20
"""how often a record is read again because it was rewritten meanwhile"""


def purge_records(store: SyncStore, keys: Keys, upto: Mapping[str, int]) -> int:
    """Removes what all live records hold of some users, up to a timestamp for each; returns how many records changed.

    Reads every record once. May miss concurrent writes by processes that do not know of the erasure yet: run it again
    once all of them do. A record that does not read back is noted, and its repair leaves the users out.
    """
    index_people(store, keys)
    changed, people = 0, people_with_records(store, keys)
    while names := list(islice(people, READ_AT_ONCE)):
        changed += _purge_records(store, keys, names, upto)
    return changed


def _purge_records(store: SyncStore, keys: Keys, people: Sequence[str], upto: Mapping[str, int]) -> int:
    changed, encoded, pending = 0, [user_id.encode() for user_id in upto], list(people)
    for _ in range(ATTEMPTS):
        commits: dict[str, Commit] = {}
        for person, packed in zip(pending, store.get_many([keys.live(person) for person in pending]), strict=True):
            if packed is None or not any(user_id in packed for user_id in encoded):
                continue
            try:
                record = LiveRecord.unpack(packed)
            except CorruptRecordError as error:
                note_damaged(store, keys, person, error)
                continue
            changes = [record.forget(user_id, timestamp_us) for user_id, timestamp_us in upto.items()]
            if any(changes) or _is_in_journal(packed, upto):
                key, merged = keys.live(person), record.next_revision(now_us()).pack()
                guards, replaces = [Guard(key, packed[:PREFIX_BYTES])], [Replace(key, len(packed), merged)]
                commits[person] = Commit(guards=guards, replaces=replaces)
        outcomes = dict(zip(commits, store.commit(list(commits.values())), strict=True))
        changed += sum(outcome is Outcome.APPLIED for outcome in outcomes.values())
        pending = [person for person, outcome in outcomes.items() if outcome is not Outcome.APPLIED]
        if not pending:
            return changed
    raise StoreUnavailableError("The live records that name an erased person are rewritten again and again.")


def _is_in_journal(packed: bytes, upto: Mapping[str, int]) -> bool:
    """Whether an entry of a record's journal names one of these users, such as a click that changed nothing."""
    entries = journal.entries(packed, base_length(packed))
    return any(entry.timestamp_us <= upto.get(entry.text, -1) for entry in entries)
