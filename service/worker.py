"""The background consumer: makes candidate blocks for those who wait for one."""

import os
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from models import processes, publishing
from models.block import Block
from models.errors import PymkError, StoreError
from models.keys import Keys
from models.manifest import Manifest
from models.settings import Settings
from models.store.opening import open_sync
from models.store.protocol import SyncStore
from models.tables import Tables
from models.versions import Versions

LEASE_S = 60.0
"""how long a user taken from the queue is this worker's; a worker that died gives it up so"""
TAKEN_AT_ONCE = 16
IDLE_S = 0.2
"""pause when nobody waits"""
STORE_PAUSE_S = 1.0
"""pause after the store did not answer or a version could not be opened"""
HEARTBEAT_S = processes.TTL_S / 5


class BlockMaker(Protocol):
    """Makes one person's candidates from what a version holds."""

    def block(self, row: int) -> Block:
        """The candidate block of a row."""
        ...


class OpenMaker(Protocol):
    """Opens the maker of a version directory."""

    def __call__(self, directory: Path) -> BlockMaker: ...


@dataclass(frozen=True, slots=True)
class WorkingVersion:
    """The version that blocks are made for."""

    version: str
    tables: Tables
    maker: BlockMaker


@dataclass(slots=True)
class Tally:
    """What became of the users taken from the queue."""

    made: int = 0
    unknown: int = 0
    """ids that the version does not know"""
    failed: int = 0


class Worker:
    """Takes users from the queue, makes their blocks for the active version, writes them.

    A user leaves the queue after the block is written, so a worker that dies loses nobody; two workers that make the
    same block write the same bytes. Follows the pointer between two turns.
    """

    def __init__(
        self,
        store: SyncStore,
        versions: Versions,
        keys: Keys,
        open_maker: OpenMaker,
        *,
        name: str,
        stop: threading.Event,
        superseded_ttl_s: float,
    ) -> None:
        self.tally = Tally()
        self._store = store
        self._versions = versions
        self._keys = keys
        self._open_maker = open_maker
        self._process = keys.process(name)
        self._stop = stop
        self._superseded_ttl_s = superseded_ttl_s
        self._working: WorkingVersion | None = None
        self._log = structlog.get_logger()

    def run(self) -> None:
        """Works until the stop event; then finishes the user at hand and takes itself off the list of processes."""
        heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        heart.start()
        try:
            while not self._stop.is_set():
                try:
                    busy = self.turn(time.time())
                except PymkError as error:  # the store is away, or a version cannot be opened: both may pass
                    self._log.warning("worker_waits", error=str(error))
                    self._stop.wait(STORE_PAUSE_S)
                    continue
                if not busy:
                    self._stop.wait(IDLE_S)
        finally:
            self._stop.set()
            heart.join(HEARTBEAT_S)
            with suppress(StoreError):  # the report expires by itself
                self._store.delete([self._process])
            self._log.info("worker_stopped", made=self.tally.made, unknown=self.tally.unknown, failed=self.tally.failed)

    def turn(self, now_s: float) -> bool:
        """Follows the pointer and works off what is due; whether anybody was."""
        working = self._follow()
        if working is None:
            return False
        taken = self._store.queue_take(self._keys.refresh, now_s, LEASE_S, TAKEN_AT_ONCE)
        for member in taken:
            if self._stop.is_set():
                break
            self._refresh(working, member)
        return bool(taken)

    def _refresh(self, working: WorkingVersion, member: bytes) -> None:
        """Makes and writes one user's block; whoever the version does not know is dropped and counted."""
        row = working.tables.vocabulary.row(member.decode("utf-8", "replace"))
        if row is None:
            self.tally.unknown += 1
            self._log.info("unknown_user_dropped", version=working.version)
        else:
            try:
                record = working.maker.block(row).pack()
            except Exception as error:  # one person's failure is not the others'; due again when the lease ends
                self.tally.failed += 1
                self._log.error("block_not_made", row=row, version=working.version, exc_info=error)
                return
            self._write(working.version, row, record)
            self.tally.made += 1
            self._log.info("block_made", row=row, version=working.version)
        self._store.queue_done(self._keys.refresh, [member])

    def _write(self, version: str, row: int, record: bytes) -> None:
        """Writes a block; one of a version that was superseded meanwhile expires with it."""
        key = self._keys.block(version, row)
        self._store.set(key, record)
        pointer = publishing.active(self._store, keys=self._keys)
        if pointer is None or version not in pointer.lasting:
            self._store.expire_many([key], self._superseded_ttl_s)

    def _follow(self) -> WorkingVersion | None:
        """The active version, opened where it changed; None while there is none."""
        pointer = publishing.active(self._store, keys=self._keys)
        if pointer is None:
            return None
        if self._working is None or self._working.version != pointer.version:
            directory = publishing.pull_tables(self._store, pointer.version, self._versions, keys=self._keys)
            tables = Tables.open(directory / "tables")
            self._working = WorkingVersion(pointer.version, tables, self._open_maker(directory))
            self._report()
            self._log.info("version_followed", version=pointer.version)
        return self._working

    def _report(self) -> None:
        version = self._working.version if self._working is not None else ""
        self._store.set(self._process, version.encode(), processes.TTL_S)

    def _beat(self) -> None:
        """Reports that the worker lives, also while it makes a block."""
        while not self._stop.is_set():
            with suppress(StoreError):  # the main loop says so
                self._report()
            self._stop.wait(HEARTBEAT_S)


def open_maker(directory: Path) -> BlockMaker:
    """The maker of a version directory; loads the numeric libraries that the service does without.

    Makes one block in advance, so that what is compiled on first use is compiled before anybody waits for it.
    """
    from models.candidates import CandidateMaker

    maker = CandidateMaker.open(directory)
    if Manifest.read(directory).users:
        maker.block(0)
    return maker


def work(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_sync(settings)) as store:
        worker = Worker(
            store,
            Versions(settings.home),
            Keys(settings.namespace),
            open_maker,
            name=f"worker-{socket.gethostname()}-{os.getpid()}",
            stop=stop,
            superseded_ttl_s=settings.superseded_ttl_s,
        )
        worker.run()
