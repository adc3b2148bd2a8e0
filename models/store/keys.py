"""The names of everything the store holds.

What is live stands in SHARDS parts. Their keys carry the shard in braces, a Redis Cluster's hash tag, so that all keys
of one shard share a slot and can be written together. No namespace has braces (models.settings).
"""

import hashlib
from dataclasses import dataclass

CHUNK_BYTES = 1 << 20
"""files of a version stand in the store in pieces of this size"""

SHARDS = 16
"""parts of the live state; fixed, since every stored key and archived event stands in the shard of its person"""


def shard_of(user_id: str) -> int:
    """The shard of a person's live state, 0 to SHARDS-1."""
    return hashlib.blake2b(user_id.encode(), digest_size=1).digest()[0] % SHARDS


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one namespace; the one place that spells them."""

    namespace: str

    @property
    def active(self) -> str:
        """JSON of models.publishing.pointer.ActivePointer: the version served, and what rollback goes back to.

        Never expires.

        Both in one key, so that they change in one step on a cluster too.
        """
        return f"{self.namespace}:active"

    @property
    def versions(self) -> str:
        """Set of the ids of which the store may hold something."""
        return f"{self.namespace}:versions"

    @property
    def lease(self) -> str:
        """Who may change what the store holds of versions, and until when."""
        return f"{self.namespace}:lease"

    @property
    def refresh(self) -> str:
        """Queue of the people who wait for candidates (models.candidate_refresh.refresh_queue.Waiting)."""
        return f"{self.namespace}:refresh"

    @property
    def workers(self) -> str:
        """Record of the live workers: until when each may be counted on, epoch seconds in decimal, by its name."""
        return f"{self.namespace}:workers"

    @property
    def replay(self) -> str:
        """JSON of models.candidate_refresh.replay.Wanted: the version that somebody without the means wants replayed
        onto."""
        return f"{self.namespace}:replay"

    @property
    def processes(self) -> str:
        """What the keys of all live processes begin with."""
        return f"{self.namespace}:process:"

    def process(self, name: str) -> str:
        """The version id that a live process serves; expires within seconds unless renewed."""
        return f"{self.processes}{name}"

    def version(self, version: str) -> str:
        """What all keys of a version begin with."""
        return f"{self.namespace}:v:{version}:"

    def manifest(self, version: str) -> str:
        """The manifest. Written last and removed last: a version without it is not wholly there."""
        return f"{self.version(version)}manifest"

    def block(self, version: str, row: int) -> str:
        """The candidate block of a row."""
        return f"{self.version(version)}b:{row}"

    def piece(self, version: str, file: str, chunk: int) -> str:
        """A piece of a file of the version, at most CHUNK_BYTES; `file` is its path in the version directory."""
        return f"{self.version(version)}t:{file}:{chunk}"

    def ranked_lists(self, version: str) -> str:
        """What the keys of a version's ranked lists begin with."""
        return f"{self.version(version)}l:"

    def ranked(self, version: str, row: int, context: str) -> str:
        """The ranked list of a viewer in a context (service.ranking.ranked_list.CachedList). Always expires."""
        return f"{self.ranked_lists(version)}{row}:{context}"

    def shard(self, shard: int) -> str:
        """What all keys of a shard begin with."""
        return f"{self.namespace}:{{{shard}}}:"

    def live(self, user_id: str) -> str:
        """The live record of a person (models.live_state.user_record). Never expires."""
        return f"{self.shard(shard_of(user_id))}u:{user_id}"

    def seen(self, user_id: str) -> str:
        """The events of a viewer that were acknowledged lately (models.event_log.deduplication). Expires after 48
        hours."""
        return f"{self.shard(shard_of(user_id))}seen:{user_id}"

    def live_profile(self, user_id: str) -> str:
        """The profile columns that were put since the floor (models.live_state.profile_changes). Never expires."""
        return f"{self.shard(shard_of(user_id))}p:{user_id}"

    def log(self, shard: int) -> str:
        """The event log of a shard, a stream of models.event_log.event.Entry; what is archived leaves it."""
        return f"{self.shard(shard)}log"

    def archived(self, shard: int) -> str:
        """The stream id up to which the log of a shard is archived and wholly applied."""
        return f"{self.shard(shard)}archived"

    def mending(self, shard: int) -> str:
        """Which worker works off the log of a shard, and until when (service.worker.shard_leases)."""
        return f"{self.shard(shard)}mending"

    @property
    def watermark(self) -> str:
        """The stamp up to which live records were dropped, in decimal: no version with an earlier cut can be
        activated."""
        return f"{self.namespace}:floor"

    @property
    def hidden_log(self) -> str:
        """The changes of flags in their order, a stream of models.live_state.visibility.FlagChange."""
        return f"{self.namespace}:{{hidden}}:log"

    @property
    def hidden_epoch(self) -> str:
        """How many changes of flags there were, in decimal; absent before the first. Written with the log."""
        return f"{self.namespace}:{{hidden}}:epoch"

    @property
    def touched(self) -> str:
        """People by the stamp of their last change that calls for another block (SyncStore.timestamps_raise)."""
        return f"{self.namespace}:touched"

    @property
    def exposure(self) -> str:
        """The people who were shown more often than they should be within a day (models.live_state.exposure)."""
        return f"{self.namespace}:exposure"

    def erasure(self, name: str) -> str:
        """The erasures of the id with this keyed hash (models.live_state.erasure_receipts)."""
        return f"{self.namespace}:erasure:{name}"

    @property
    def erasures(self) -> str:
        """Set of the keyed hashes whose erasures are not done."""
        return f"{self.namespace}:erasures"

    @property
    def erased(self) -> str:
        """Record of keyed hashes of erased people's ids (models.live_state.erased_ids)."""
        return f"{self.namespace}:erased"

    @property
    def erased_key(self) -> str:
        """The key of those hashes, made once."""
        return f"{self.namespace}:erased:key"

    def newcomer(self, version: str, user_id: str) -> str:
        """What a version has of a person whom its tables do not know (models.version.new_user_record.Newcomer)."""
        return f"{self.version(version)}n:{user_id}"

    def replayed(self, version: str) -> str:
        """Up to when those who changed since the version's cut have their blocks in it, microseconds in decimal."""
        return f"{self.version(version)}replayed"

    def followed(self, version: str) -> str:
        """The activation of the version after which everybody whom a switch passes over was queued again."""
        return f"{self.version(version)}followed"
