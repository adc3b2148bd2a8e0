"""`pymk worker`: processes the event log, and generates candidates for the users in the refresh queue."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from models.candidate_refresh.newcomer_suggestions import NewcomerSuggestions
from models.candidate_refresh.refresher import Generator, LoadedVersion, Refresher
from models.candidate_refresh.replay import ReplayRequest, queue_unreplayed, replay
from models.errors import ArtefactError, CorruptRecordError, PymkError, StoreError, VersionError
from models.event_log.archive.archive import Archive
from models.publishing import serving_processes
from models.publishing.canary_counts import Counts
from models.publishing.canary_record import Canary, decode_canary
from models.publishing.pointer import ActivePointer, decode_pointer
from models.publishing.publish import pull_tables
from models.schema.vocabulary import Vocabulary
from models.settings import CONTEXTS
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.store_clock import StoreClock
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from service.worker.canary.judge import CanaryPlan, CanaryWorker
from service.worker.candidate_refresh import RefreshWorker
from service.worker.contact import Contact
from service.worker.erasures import ErasureWorker
from service.worker.event_log import LogWorker
from service.worker.exposure import ExposureWorker
from service.worker.exposure_log import ExposureLogWorker
from service.worker.housekeeping import Housekeeper
from service.worker.shard_leases import ShardLeases

IDLE_S = 0.2
"""pause if no user is due; users whom this worker queues itself end it"""
STORE_PAUSE_S = 1.0
"""pause after the store did not answer or a version could not be opened"""
DEAD_S = 6.0
"""a worker that has not reported for so long counts as dead, and another one takes over its shards of the log"""
HEARTBEAT_S = DEAD_S / 4
STOP_S = 3.0
"""how long a stop waits for each thread"""
REPORT_S = 10.0
"""how often a worker logs its figures, if they changed"""
PART = "refreshes"
SETTLED_S = 5.0
"""so long after a switch some worker may still work for the former version"""


class OpenGenerator(Protocol):
    """Opens the candidate generator of a version directory."""

    def __call__(self, directory: Path) -> Generator: ...


class Worker:
    """Follows the pointer, processes queue and log, and replays events onto a version on request.

    Everything that it does may be done twice: after a worker dies, another one repeats its last steps.
    """

    def __init__(
        self,
        store: SyncStore,
        versions: Versions,
        keys: Keys,
        open_generator: OpenGenerator,
        *,
        name: str,
        stop: threading.Event,
        superseded_ttl_s: float,
        forbidden_days: int,
        exposure_limit: int,
        outcomes_days: int = 90,
        seldom: int = 5,
        favours_seldom: bool = False,
        suggests_newcomers: bool = False,
        contexts: Sequence[str] = CONTEXTS,
        canary: CanaryPlan | None = None,
    ) -> None:
        self.store, self._versions, self.keys, self._open_generator = store, versions, keys, open_generator
        self._name, self._opens = name, ""
        self._report_lock = threading.Lock()
        self._stop = stop
        self._loaded: LoadedVersion | None = None
        self._canary: LoadedVersion | None = None
        self._canary_refused: str | None = None
        """the canary that could not be opened"""
        self._queued_for: dict[str, tuple[str, bool]] = {}
        self._activation: dict[str, tuple[str, float]] = {}
        self._logged_at = time.monotonic()
        self._queued = threading.Event()
        self.contact = Contact()
        self.clock = StoreClock(store)
        self._log = structlog.get_logger()
        self._refresher = Refresher(
            store,
            keys,
            forbidden_days,
            contexts,
            suggestions=NewcomerSuggestions(store, keys) if suggests_newcomers else None,
        )
        self.refresh = RefreshWorker(store, keys, self._refresher, self._follow, superseded_ttl_s)
        self.leases = leases = ShardLeases(store, keys, name)
        self.housekeeper = Housekeeper(store, keys, leases.holds_first, contact=self.contact)
        self.log = LogWorker(
            store, keys, Archive(versions.home), leases, self.housekeeper, self.contact, self._queued.set
        )
        self.exposure = ExposureWorker(
            store,
            keys,
            versions.home,
            exposure_limit,
            self._vocabulary,
            leases.holds_first,
            contact=self.contact,
            seldom=seldom,
            favours=favours_seldom,
        )
        self.exposure_log = ExposureLogWorker(
            store, keys, versions.home, outcomes_days, self._tables_of, leases.holds_first, self.contact
        )
        self.canaries = CanaryWorker(
            store,
            keys,
            versions,
            leases.holds_first,
            canary or CanaryPlan(),
            superseded_ttl_s,
            self.contact,
            self._tables_of,
        )
        self.erasures = ErasureWorker(store, keys, versions, leases.holds_first, self.contact)
        self.threads: list[threading.Thread] = []
        self._logged = self._figures()

    @property
    def serves(self) -> str:
        """The version that candidates are made for; "" for none."""
        return self._loaded.version if self._loaded is not None else ""

    def run(self) -> None:
        """Works until the stop event; then finishes the users in progress and deletes the report of this process."""
        threading.Thread(target=self._find_former, name="former-processes", daemon=True).start()
        self._log.info("worker_started", name=self._name, home=str(self._versions.home))
        self.threads = threads = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self.log.run, args=(self._stop,), name="log", daemon=True),
            threading.Thread(target=self.exposure.run, args=(self._stop,), name="exposure", daemon=True),
            threading.Thread(target=self.exposure_log.run, args=(self._stop,), name="exposure-log", daemon=True),
            threading.Thread(target=self.canaries.run, args=(self._stop,), name="canary", daemon=True),
            threading.Thread(target=self.erasures.run, args=(self._stop,), name="erasures", daemon=True),
            threading.Thread(target=self.housekeeper.run, args=(self._stop,), name="housekeeping", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                self._queued.clear()
                try:
                    busy = self.run_once(self.clock.now_s())
                except PymkError as error:  # the store does not answer, or a version cannot be opened: both may pass
                    self.contact.failed(PART, "worker_waits", error)
                    self._stop.wait(STORE_PAUSE_S)
                    continue
                self.contact.answered(PART)
                if not busy:
                    self._queued.wait(IDLE_S)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(STOP_S)
            with suppress(StoreError):  # the report expires by itself
                serving_processes.withdraw(self.store, self._name, keys=self.keys)
            self._log.info("worker_stopped", **self._figures())

    def run_once(self, now_s: float) -> bool:
        """Follows the pointer and processes what is due; returns whether anything was. `now_s`: the store's clock."""
        # what is asked for, in one round trip
        replay_wanted, active, canary = self.store.get_many([self.keys.replay, self.keys.active, self.keys.canary])
        replayed = bool(replay_wanted) and self._replay_on_request(replay_wanted)
        # lists, versions and users
        self.refresh.delete_lists(now_s)
        pointer = decode_pointer(active)
        loaded = self._follow_to(pointer)
        self._follow_canary(canary, pointer)
        busy = loaded is not None and self.refresh.run_once(now_s, loaded)
        # what was done
        self._log_figures()
        return busy or replayed

    def _follow(self) -> LoadedVersion | None:
        """The active version, opened if it changed; None while there is none."""
        return self._follow_to(decode_pointer(self.store.get(self.keys.active)))

    def _follow_to(self, pointer: ActivePointer | None) -> LoadedVersion | None:
        if pointer is None:
            self.contact.waits(PART, "no version is published yet; pymk nightly DATA publishes one")
            return None
        if self._loaded is None or self._loaded.version != pointer.version:
            known = self._canary
            is_open = known is not None and known.version == pointer.version
            self._loaded = known if is_open and known is not None else self._open(pointer.version)
            self._report()
            self._log.info("version_followed", version=pointer.version)
        self._queue_after_switch("active", pointer.activated_at.isoformat(), self._loaded.manifest)
        self.contact.worked(PART)
        return self._loaded

    def _follow_canary(self, content: bytes | None, pointer: ActivePointer | None) -> None:
        """Makes candidates for the canary too, as long as there is one."""
        try:
            canary = decode_canary(content)
        except CorruptRecordError:  # whoever ends it is told
            canary = None
        before = self._canary
        if canary is None or not canary.holds(pointer):
            self._canary = self._canary_refused = None
        elif self._canary is None or self._canary.version != canary.version:
            self._canary = self._tried(canary)
        self.refresh.canary = self._canary
        if self._canary is not before:
            self._report()
        if canary is not None and self._canary is not None:
            self._queue_after_switch("canary", canary.started_at.isoformat(), self._canary.manifest)

    def _tried(self, canary: Canary) -> LoadedVersion | None:
        """The canary's version; None if it cannot be opened, which takes it back."""
        if self._canary_refused == canary.identity:
            return None
        try:
            loaded = self._open(canary.version)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with it, the active version's users have their candidates
            self._log.error("canary_not_followed", version=canary.version, error=str(error))
            fault = Counts(canary.identity, fault=f"{type(error).__name__}: {error}").pack()
            self.store.fields_set(self.keys.canary_counts, {self._name: fault})
            self._canary_refused = canary.identity
            return None
        self._log.info("canary_followed", version=canary.version)
        return loaded

    def _vocabulary(self) -> Vocabulary | None:
        return None if self._loaded is None else self._loaded.tables.vocabulary

    def _tables_of(self, version: str) -> Tables | None:
        """The tables of a version in which lists were given out; None if neither disk nor store has it."""
        for loaded in (self._loaded, self._canary):
            if loaded is not None and loaded.version == version:
                return loaded.tables
        try:
            return Tables.open(pull_tables(self.store, version, self._versions, keys=self.keys) / "tables")
        except (ArtefactError, VersionError):
            return None

    def _open(self, version: str) -> LoadedVersion:
        """Opens a version, and reports meanwhile that it does."""
        self._opens = version
        try:
            self._report()
            directory = pull_tables(self.store, version, self._versions, keys=self.keys)
            tables = Tables.open(directory / "tables")
            return LoadedVersion(Manifest.read(directory), tables, self._open_generator(directory))
        finally:
            self._opens = ""

    def _queue_after_switch(self, role: str, activation: str, manifest: Manifest) -> None:
        """Queues the users whom the replay of a switch skipped: at once, and again after every worker has followed.

        `role` is what the version is served as, `activation` when that began.
        """
        if self._activation.get(role, ("", 0.0))[0] != activation:
            self._activation[role] = activation, time.monotonic()  # the clock of whoever switched may be hours off
        settled = time.monotonic() - self._activation[role][1] > SETTLED_S
        if self._queued_for.get(role) in ((activation, settled), (activation, True)):
            return
        key = self.keys.followed(manifest.version)
        if self.store.get(key) != activation.encode():
            queued = queue_unreplayed(self.store, self.keys, manifest)
            self._log.info("switch_followed", version=manifest.version, queued=queued)
            if settled:
                self.store.set(key, activation.encode())
        self._queued_for[role] = (activation, settled)

    def _replay_on_request(self, content: bytes | None) -> bool:
        """Replays onto the version that was requested; returns whether one was."""
        wanted = ReplayRequest.decode(content)
        if wanted is None or not self.store.compare_and_set(self.keys.replay, content, b""):
            return False
        known = [one for one in (self._loaded, self._canary) if one is not None and one.version == wanted.version]
        loaded = known[0] if known else self._open(wanted.version)
        replay(self._refresher, loaded)
        return True

    def _figures(self) -> dict[str, float | int | None]:
        counters = self.refresh.counters
        return {
            "entries": self.log.entries.total(),
            "made": counters.blocks,
            "newcomers": counters.newcomers,
            "unknown": counters.unknown,
            "failed": counters.failed,
            "given_up": counters.dropped,
            "latency_p50_s": counters.latency(0.5),
            "latency_p99_s": counters.latency(0.99),
        }

    def _log_figures(self) -> None:
        """Logs from time to time what was done, what waits, and the latency."""
        now_s = time.monotonic()
        if now_s - self._logged_at < REPORT_S:
            return
        waiting, log_length = self.store.queue_length(self.keys.refresh), self.log.waiting()
        figures = self._figures()
        if waiting or log_length or figures != self._logged:
            self._log.info("worker_works", queue=waiting, log=log_length, **figures)
        self._logged_at, self._logged = now_s, figures

    def _report(self) -> None:
        with self._report_lock:  # a report that was overtaken would hold until the next
            canary = "" if self._canary is None else self._canary.version
            said = serving_processes.Report(self.serves, self._opens, canary)
            serving_processes.report(self.store, self._name, said, keys=self.keys, ttl_s=DEAD_S)

    def _beat(self) -> None:
        """Reports that the worker is alive, also while it opens a version or generates candidates."""
        while not self._stop.is_set():
            try:
                self._report()
            except StoreError:
                pass  # the main loop logs it
            except Exception as error:  # the thread must survive, else this worker counts as dead
                self._log.error("process_not_reported", exc_info=error)
            self._stop.wait(HEARTBEAT_S)

    def _find_former(self) -> None:
        with suppress(StoreError):  # whoever needs to know looks then
            serving_processes.find_former(self.store, keys=self.keys)
