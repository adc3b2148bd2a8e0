"""Taking erased people out of what others' live records hold."""

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
"""how often a record that others write meanwhile is read again"""


def purge_records(store: SyncStore, keys: Keys, upto: Mapping[str, int]) -> int:
    """Drops what the live records of all people say of some, of each up to a stamp; how many records did.

    Reads every record once. What is written meanwhile by those who do not yet know of the erasure may be missed: do it
    again once all of them do.
    """
    changed = 0
    for shard in range(SHARDS):
        found = store.scan(f"{keys.shard(shard)}u:")
        while names := list(islice(found, READ_AT_ONCE)):
            changed += _purge_records(store, keys, names, upto)
    return changed


def _purge_records(store: SyncStore, keys: Keys, names: Sequence[str], upto: Mapping[str, int]) -> int:
    changed, sought = 0, [user_id.encode() for user_id in upto]
    waiting = list(names)
    for _ in range(ATTEMPTS):
        commits = {}
        for name, packed in zip(waiting, store.get_many(waiting), strict=True):
            if packed is None or not any(one in packed for one in sought):
                continue
            record = LiveRecord.unpack(packed)
            revision_prefix = record.revision_prefix
            forgotten = [record.forget(user_id, timestamp_us) for user_id, timestamp_us in upto.items()]
            if any(forgotten):
                person = name.split(":u:", 1)[1]
                commits[name] = commit_of(
                    keys, person, record, revision_prefix, watermark=record.watermark, now=now_us()
                )
        made = store.commit(list(commits.values()))
        changed += sum(made)
        waiting = [name for name, one in zip(commits, made, strict=True) if not one]
        if not waiting:
            return changed
    raise StoreUnavailableError("The live records that are scrubbed are written by others all the time.")
