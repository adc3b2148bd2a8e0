"""Removes erased users from the live records of others."""

from collections.abc import Mapping, Sequence
from itertools import islice

from models.errors import StoreUnavailableError
from models.event_log.reciprocal_update import commit_of
from models.live_state.user_record import LiveRecord
from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us

READ_AT_ONCE = 500
ATTEMPTS = 20
"""how often a record is read again because of concurrent writes"""


def purge_records(store: SyncStore, keys: Keys, upto: Mapping[str, int]) -> int:
    """Removes what all live records hold of some users, up to a timestamp for each; returns how many records changed.

    Reads every record once. May miss concurrent writes by processes that do not know of the erasure yet: run it again
    once all of them do.
    """
    changed = 0
    for shard in range(SHARDS):
        records = store.scan(f"{keys.shard(shard)}u:")
        while names := list(islice(records, READ_AT_ONCE)):
            changed += _purge_records(store, keys, names, upto)
    return changed


def _purge_records(store: SyncStore, keys: Keys, names: Sequence[str], upto: Mapping[str, int]) -> int:
    changed, encoded = 0, [user_id.encode() for user_id in upto]
    pending = list(names)
    for _ in range(ATTEMPTS):
        commits = {}
        for name, packed in zip(pending, store.get_many(pending), strict=True):
            if packed is None or not any(user_id in packed for user_id in encoded):
                continue
            record = LiveRecord.unpack(packed)
            revision_prefix = record.revision_prefix
            changes = [record.forget(user_id, timestamp_us) for user_id, timestamp_us in upto.items()]
            if any(changes):
                person = name.split(":u:", 1)[1]
                commits[name] = commit_of(
                    keys, person, record, revision_prefix, watermark=record.watermark, now=now_us()
                )
        applied = store.commit(list(commits.values()))
        changed += sum(applied)
        pending = [name for name, done in zip(commits, applied, strict=True) if not done]
        if not pending:
            return changed
    raise StoreUnavailableError("Concurrent writes keep changing the live records that name an erased person.")
