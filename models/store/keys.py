"""The names of the store's keys.

Live state is in SHARDS parts. Their keys have the shard in braces, the hash tag of a Redis Cluster, so that all keys of
one shard are in one slot and can be written in one commit. No namespace has braces (models.settings).
"""

import hashlib
from dataclasses import dataclass

CHUNK_BYTES = 1 << 20
"""files of a version are stored in pieces of this size"""

WHOLE = b""
"""member of Keys.newcomers: no process of a former release wrote records that the set does not have"""

SHARDS = 16
"""parts of the live state; fixed, since stored keys and archived events depend on it"""


def shard_of(user_id: str) -> int:
    """The shard of a user's live state, 0 to SHARDS-1."""
    return hashlib.blake2b(user_id.encode(), digest_size=1).digest()[0] % SHARDS


@dataclass(frozen=True, slots=True)
class Keys:
    """All key names, under one namespace."""

    namespace: str

    @property
    def active(self) -> str:
        """JSON of models.publishing.pointer.ActivePointer: the served version and the version that rollback activates.

        Never expires. Both are in one key, so that they change in one step on a cluster too.
        """
        return f"{self.namespace}:active"

    @property
    def canary(self) -> str:
        """JSON of models.publishing.canary_record.Canary: what a share of the viewers is served from. Never expires."""
        return f"{self.namespace}:canary"

    @property
    def canary_counts(self) -> str:
        """Record of what each process counted of the canary's lists (models.publishing.canary_counts)."""
        return f"{self.namespace}:canary:counts"

    @property
    def canary_report(self) -> str:
        """JSON of models.publishing.canary_record.CanaryReport: how the canary does, or the last one did."""
        return f"{self.namespace}:canary:report"

    @property
    def versions(self) -> str:
        """Set of the version ids of which the store may hold keys."""
        return f"{self.namespace}:versions"

    @property
    def drift(self) -> str:
        """JSON of the latest report on drift: `version`, `at`, `retrain`, `checks`. Absent before the first."""
        return f"{self.namespace}:drift"

    @property
    def nights(self) -> str:
        """Record of the latest runs of the nightly job by version id (models.publishing.night_runs.NightRun)."""
        return f"{self.namespace}:nights"

    @property
    def decisions(self) -> str:
        """JSON by version id of models.publishing.decisions.Decision: what waits for approval, and what came of it.

        Never expires.
        """
        return f"{self.namespace}:decisions"

    @property
    def audit(self) -> str:
        """The audit trail, a stream of models.publishing.audit.AuditEntry. Never expires."""
        return f"{self.namespace}:audit"

    @property
    def lease(self) -> str:
        """The process that may change the versions in the store, and until when."""
        return f"{self.namespace}:lease"

    @property
    def barrier(self) -> str:
        """The prefix of keys without meaning that are written for the wait after them (DurableWrites)."""
        return f"{self.namespace}:barrier"

    @property
    def refresh(self) -> str:
        """Queue of users who need new candidates (models.candidate_refresh.refresh_queue.RefreshRequest)."""
        return f"{self.namespace}:refresh"

    def rate(self, bucket: str) -> str:
        """The tokens of a caller in a scope (token_take.lua). Expires when the bucket is full again."""
        return f"{self.namespace}:rate:{bucket}"

    @property
    def workers(self) -> str:
        """Record of the live workers: by name, until when each counts as live, epoch seconds in decimal."""
        return f"{self.namespace}:workers"

    @property
    def replay(self) -> str:
        """JSON of models.candidate_refresh.replay.ReplayRequest: the version onto which a worker shall replay."""
        return f"{self.namespace}:replay"

    @property
    def processes(self) -> str:
        """The prefix of the keys of live processes."""
        return f"{self.namespace}:process:"

    @property
    def live_processes(self) -> str:
        """Record of the live processes by name (models.publishing.serving_processes)."""
        return f"{self.namespace}:processes"

    def process(self, name: str) -> str:
        """The version id that a live process serves; expires within seconds unless it is renewed."""
        return f"{self.processes}{name}"

    def version(self, version: str) -> str:
        """The prefix of the keys of a version."""
        return f"{self.namespace}:v:{version}:"

    def manifest(self, version: str) -> str:
        """The manifest. Written last and removed last: a version without it is incomplete."""
        return f"{self.version(version)}manifest"

    def block(self, version: str, row: int) -> str:
        """The candidate block of a row."""
        return f"{self.version(version)}b:{row}"

    def piece(self, version: str, file: str, chunk: int) -> str:
        """A piece of a file of the version, at most CHUNK_BYTES; `file` is its path in the version directory."""
        return f"{self.version(version)}t:{file}:{chunk}"

    def ranked_lists(self, version: str) -> str:
        """The prefix of the keys of a version's ranked lists."""
        return f"{self.version(version)}l:"

    def ranked(self, version: str, row: int, context: str) -> str:
        """The ranked list of a viewer in a context (service.ranking.cached_list.CachedList). Always expires."""
        return f"{self.ranked_lists(version)}{row}:{context}"

    def viewer_records(self, version: str, user_id: str, row: int | None, context: str | None = None) -> list[str]:
        """The records that a list starts from: the live record and, if the version knows the viewer, the block.

        With a context, the list cached for it instead of the block.
        """
        if row is None:
            return [self.live(user_id)]
        return [self.live(user_id), self.block(version, row) if context is None else self.ranked(version, row, context)]

    def shard(self, shard: int) -> str:
        """The prefix of the keys of a shard."""
        return f"{self.namespace}:{{{shard}}}:"

    def live(self, user_id: str) -> str:
        """The live record of a user (models.live_state.user_record). Never expires."""
        return f"{self.shard(shard_of(user_id))}u:{user_id}"

    def people(self, shard: int) -> str:
        """Set of the ids that have a live record in a shard, so that nobody has to look for them among all keys."""
        return f"{self.shard(shard)}people"

    @property
    def people_indexed(self) -> str:
        """Present once `people` has everybody; stores of earlier releases had no such sets."""
        return f"{self.namespace}:people:indexed"

    @property
    def swept(self) -> str:
        """The watermark that all live records were merged for, in decimal (models.live_state.compaction.sweep)."""
        return f"{self.namespace}:swept"

    def accepted(self, shard: int, generation: int) -> str:
        """Record of the identities of a shard's events of a generation (models.event_log.deduplication).

        Never expires, since what may expire may be evicted; the worker deletes the generations that are over.
        """
        return f"{self.shard(shard)}accepted:{generation}"

    @property
    def accepted_generation(self) -> str:
        """The generation that is written to, and its age (models.event_log.deduplication.Generation). Never expires."""
        return f"{self.namespace}:accepted:generation"

    def fence(self, shard: int) -> str:
        """The cut of the latest night, in decimal: the shard takes no events of that time or before."""
        return f"{self.shard(shard)}fence"

    @property
    def clock(self) -> str:
        """The latest timestamp of any acknowledged change, in decimal (models.live_state.timestamps)."""
        return f"{self.namespace}:clock"

    @property
    def numbers(self) -> list[str]:
        """The keys of single numbers in decimal (models.store.decimals)."""
        return [self.watermark, self.clock, self.swept, *map(self.fence, range(SHARDS))]

    @property
    def damaged(self) -> str:
        """Set of the ids whose live record or live profile does not read back; a repair removes them."""
        return f"{self.namespace}:damaged"

    @property
    def full(self) -> str:
        """Set of the ids in whose live record an event of another user found no room
        (models.event_log.reciprocal_update)."""
        return f"{self.namespace}:full"

    def live_profile(self, user_id: str) -> str:
        """The profile columns written since the watermark (models.live_state.profile_changes). Never expires."""
        return f"{self.shard(shard_of(user_id))}p:{user_id}"

    def contacts(self, user_id: str) -> str:
        """The hashes of a user's own addresses and of those in the address book (models.contacts.record)."""
        return f"{self.shard(shard_of(user_id))}c:{user_id}"

    def contacts_lock(self, user_id: str) -> str:
        """The process that alone may write `contacts` for a moment (models.contacts.write_contacts). Expires."""
        return f"{self.shard(shard_of(user_id))}cl:{user_id}"

    def contacts_indexed(self, user_id: str) -> str:
        """The same record as of the last time that the worker matched it."""
        return f"{self.shard(shard_of(user_id))}ci:{user_id}"

    @property
    def contacts_key(self) -> str:
        """The key of the hashes, drawn once, if PYMK_CONTACTS_KEY is not set."""
        return f"{self.namespace}:contacts:key"

    def address_owners(self, address: str) -> str:
        """The users whose own address has this keyed hash, in hexadecimal (models.contacts.matching)."""
        return f"{self.namespace}:contacts:o:{address}"

    def address_holders(self, address: str) -> str:
        """Set of the users who have the address with this keyed hash among their contacts."""
        return f"{self.namespace}:contacts:h:{address}"

    def log(self, shard: int) -> str:
        """The event log of a shard, a stream of models.event_log.event.Entry; archived entries are removed."""
        return f"{self.shard(shard)}log"

    def archived(self, shard: int) -> str:
        """The consumed position: up to it the log of a shard is archived and applied."""
        return f"{self.shard(shard)}archived"

    def log_lease(self, shard: int) -> str:
        """The worker that consumes the log of a shard, and until when (service.worker.shard_leases)."""
        return f"{self.shard(shard)}mending"

    @property
    def set_aside(self) -> str:
        """Set of the names of the entries of the event log that did not read back (models.event_log.set_aside)."""
        return f"{self.namespace}:set-aside"

    @property
    def watermark(self) -> str:
        """The retention watermark, a timestamp in decimal: older live state was dropped, and no version with an earlier
        cut can be activated."""
        return f"{self.namespace}:floor"

    @property
    def hidden_log(self) -> str:
        """The hidden log: the changes of flags in their order, a stream of models.live_state.visibility.FlagChange."""
        return f"{self.namespace}:{{hidden}}:log"

    @property
    def hidden_epoch(self) -> str:
        """The head of the hidden log: the number of changes of flags so far, and what tells it from any other number of
        that size (SyncStore.chain_append); absent before the first."""
        return f"{self.namespace}:{{hidden}}:epoch"

    @property
    def touched(self) -> str:
        """Users by the timestamp of their last change that makes their block stale (SyncStore.timestamps_raise)."""
        return f"{self.namespace}:touched"

    @property
    def by_contacts(self) -> str:
        """Set of the users whose candidates follow from their contacts too, which no night knows."""
        return f"{self.namespace}:contacts:people"

    @property
    def exposure(self) -> str:
        """The users who were shown too often within a day (models.live_state.exposure)."""
        return f"{self.namespace}:exposure"

    @property
    def seldom_shown(self) -> str:
        """The users who were hardly shown within a day (models.live_state.seldom_shown). Expires."""
        return f"{self.namespace}:exposure:seldom"

    @property
    def exposure_log(self) -> str:
        """The lists that were given out, a stream of models.outcomes.exposure_record batches until the worker files
        them. It expires, and so may be evicted: nothing but statistics rests on it."""
        return f"{self.namespace}:exposure:log"

    @property
    def exposures_filed(self) -> str:
        """The position in the exposure log up to which lists are filed (models.outcomes.exposure_files)."""
        return f"{self.namespace}:exposure:filed"

    @property
    def exposures_counted(self) -> str:
        """How many lists each process had recorded up to there (service.worker.exposure_gaps)."""
        return f"{self.namespace}:exposure:counted"

    @property
    def experiments(self) -> str:
        """JSON of models.experiments.registry.Registry: every experiment, running or stopped. Never expires."""
        return f"{self.namespace}:experiments"

    def erasure(self, name: str) -> str:
        """The erasures of the id with this keyed hash (models.live_state.erasure_receipts)."""
        return f"{self.namespace}:erasure:{name}"

    @property
    def erasures(self) -> str:
        """Set of the keyed hashes of users whose erasures are not done."""
        return f"{self.namespace}:erasures"

    @property
    def damaged_erasures(self) -> str:
        """Set of the keyed hashes of users whose record of erasures does not read back; a repair removes them."""
        return f"{self.namespace}:erasures:damaged"

    @property
    def erased(self) -> str:
        """Record of the keyed hashes of erased users' ids (models.live_state.erased_ids)."""
        return f"{self.namespace}:erased"

    @property
    def erased_key(self) -> str:
        """The key of these hashes, drawn once."""
        return f"{self.namespace}:erased:key"

    def newcomer(self, version: str, user_id: str) -> str:
        """The record of a user whom the version's tables do not have (models.version.new_user_record.Newcomer)."""
        return f"{self.version(version)}n:{user_id}"

    def newcomers(self, version: str) -> str:
        """Set of the users who may have such a record, by which they are found; with WHOLE if it has all of them."""
        return f"{self.version(version)}newcomers"

    def replayed(self, version: str) -> str:
        """The time up to which users who changed since the version's cut have blocks in it, microseconds in decimal."""
        return f"{self.version(version)}replayed"

    def followed(self, version: str) -> str:
        """The last activation of the version after which users without a replayed block were queued again."""
        return f"{self.version(version)}followed"
