"""`pymk worker`: processes the event log, and generates candidates for the users in the refresh queue."""

import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import structlog

from models.candidate_refresh.refresher import Generator, LoadedVersion, Refresher
from models.candidate_refresh.replay import ReplayRequest, queue_unreplayed, replay
from models.errors import PymkError, StoreError
from models.event_log.archive import Archive
from models.publishing import serving_processes
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import pull_tables
from models.schema.vocabulary import Vocabulary
from models.settings import CONTEXTS, Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from service.worker.candidate_refresh import RefreshWorker
from service.worker.erasures import ErasureWorker
from service.worker.event_log import LogWorker
from service.worker.exposure import ExposureWorker
from service.worker.shard_leases import ShardLeases

IDLE_S = 0.05
"""pause if no user is due"""
STORE_PAUSE_S = 1.0
"""pause after the store did not answer or a version could not be opened"""
DEAD_S = 6.0
"""a worker that has not reported for so long counts as dead, and another one takes over its shards of the log"""
HEARTBEAT_S = DEAD_S / 4
REPORT_S = 10.0
"""how often a worker logs its figures, if they changed"""
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
        contexts: Sequence[str] = CONTEXTS,
    ) -> None:
        self._store, self._versions, self._keys, self._open_generator = store, versions, keys, open_generator
        self._name, self._opens = name, ""
        self._report_lock = threading.Lock()
        self._stop = stop
        self._loaded: LoadedVersion | None = None
        self._queued_for: tuple[str, bool] | None = None
        self._reported_at = 0.0
        self._log = structlog.get_logger()
        self._refresher = Refresher(store, keys, forbidden_days, contexts)
        self.refresh = RefreshWorker(store, keys, self._refresher, self._follow, superseded_ttl_s)
        leases = ShardLeases(store, keys, name)
        self.log = LogWorker(store, keys, Archive(versions.home), leases)
        self.exposure = ExposureWorker(
            store, keys, versions.home, exposure_limit, self._vocabulary, lambda: 0 in leases.held
        )
        self.erasures = ErasureWorker(store, keys, versions, lambda: 0 in leases.held)
        self._logged = self._figures()

    def run(self) -> None:
        """Works until the stop event; then finishes the users in progress and deletes the report of this process."""
        threading.Thread(target=self._find_former, name="former-processes", daemon=True).start()
        threads = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self.log.run, args=(self._stop,), name="log", daemon=True),
            threading.Thread(target=self.exposure.run, args=(self._stop,), name="exposure", daemon=True),
            threading.Thread(target=self.erasures.run, args=(self._stop,), name="erasures", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                try:
                    busy = self.run_once(time.time())
                except PymkError as error:  # the store does not answer, or a version cannot be opened: both may pass
                    self._log.warning("worker_waits", error=str(error))
                    self._stop.wait(STORE_PAUSE_S)
                    continue
                if not busy:
                    self._stop.wait(IDLE_S)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(HEARTBEAT_S)
            with suppress(StoreError):  # the report expires by itself
                serving_processes.withdraw(self._store, self._name, keys=self._keys)
            self._log.info("worker_stopped", **self._figures())

    def run_once(self, now_s: float) -> bool:
        """Follows the pointer and processes what is due; returns whether anything was."""
        replayed = self._replay_on_request()
        busy = self.refresh.run_once(now_s)
        self._log_figures(now_s)
        return busy or replayed

    def _follow(self) -> LoadedVersion | None:
        """The active version, opened if it changed; None while there is none."""
        pointer = read_pointer(self._store, keys=self._keys)
        if pointer is None:
            return None
        if self._loaded is None or self._loaded.version != pointer.version:
            self._loaded = self._open(pointer.version)
            self._report()
            self._log.info("version_followed", version=pointer.version)
        self._queue_after_switch(pointer, self._loaded.manifest)
        return self._loaded

    def _vocabulary(self) -> Vocabulary | None:
        return None if self._loaded is None else self._loaded.tables.vocabulary

    def _open(self, version: str) -> LoadedVersion:
        """Opens a version, and reports meanwhile that it does."""
        self._opens = version
        try:
            self._report()
            directory = pull_tables(self._store, version, self._versions, keys=self._keys)
            tables = Tables.open(directory / "tables")
            return LoadedVersion(Manifest.read(directory), tables, self._open_generator(directory))
        finally:
            self._opens = ""

    def _queue_after_switch(self, pointer: ActivePointer, manifest: Manifest) -> None:
        """Queues the users whom the replay of a switch skipped: at once, and again after every worker has followed."""
        activation = pointer.activated_at.isoformat()
        settled = time.time() - pointer.activated_at.timestamp() > SETTLED_S
        if self._queued_for in ((activation, settled), (activation, True)):
            return
        key = self._keys.followed(pointer.version)
        if self._store.get(key) != activation.encode():
            queued = queue_unreplayed(self._store, self._keys, manifest)
            self._log.info("switch_followed", version=pointer.version, queued=queued)
            if settled:
                self._store.set(key, activation.encode())
        self._queued_for = (activation, settled)

    def _replay_on_request(self) -> bool:
        """Replays onto the version that was requested; returns whether one was."""
        content = self._store.get(self._keys.replay)
        wanted = ReplayRequest.decode(content)
        if wanted is None or not self._store.compare_and_set(self._keys.replay, content, b""):
            return False
        loaded = self._loaded
        if loaded is None or loaded.version != wanted.version:
            loaded = self._open(wanted.version)
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

    def _log_figures(self, now_s: float) -> None:
        """Logs from time to time what was done, what waits, and the latency."""
        if now_s - self._reported_at < REPORT_S:
            return
        waiting, log_length = self._store.queue_length(self._keys.refresh), self.log.waiting()
        figures = self._figures()
        if waiting or log_length or figures != self._logged:
            self._log.info("worker_works", queue=waiting, log=log_length, **figures)
        self._reported_at, self._logged = now_s, figures

    def _report(self) -> None:
        with self._report_lock:  # a report that was overtaken would hold until the next
            version = self._loaded.version if self._loaded is not None else ""
            said = serving_processes.Report(version, self._opens)
            serving_processes.report(self._store, self._name, said, keys=self._keys, ttl_s=DEAD_S)

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
            serving_processes.find_former(self._store, keys=self._keys)


def work(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT."""
    from models.candidate_refresh.generator import open_generator

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_sync(settings)) as store:
        worker = Worker(
            store,
            Versions(settings.home),
            Keys(settings.namespace),
            open_generator,
            name=f"worker-{socket.gethostname()}-{os.getpid()}",
            stop=stop,
            superseded_ttl_s=settings.superseded_ttl_s,
            forbidden_days=settings.forbidden_days,
            exposure_limit=settings.exposure_limit,
            contexts=settings.surfaces,
        )
        worker.run()
