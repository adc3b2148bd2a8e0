"""The worker's part in the exposure log: files the lists that were given out, in a thread of its own.

One worker at a time files, the one that holds the first shard of the event log; the names of the files say what is
filed (models.outcomes.exposure_files), so a list is filed once whatever dies when.
"""

import datetime
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl

from models.errors import CorruptRecordError, PymkError
from models.live_state.visibility import HiddenSet, follow_blocking
from models.outcomes.exposure_files import ExposureFiles, by_day
from models.outcomes.exposure_record import Batch, ExposureRecord, unpack_list
from models.outcomes.filed_rows import rows_of
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.stream_position import order
from models.version.tables import Tables
from service.worker.contact import Contact
from service.worker.exposure_gaps import ExposureGaps
from service.worker.rounds import repeat

EVERY_S = 5.0
"""how often lists are filed"""
BUSY_S = 0.2
"""pause after a round that filed as much as a round may"""
ENTRIES_AT_ONCE = 256
"""batches of about 16 KiB: some thousands of lists"""
TIDY_S = 600.0
"""how often days that are over are removed"""
PART = "exposure log"

FILED, MISSING, UNREADABLE, NO_VERSION = "filed", "missing", "unreadable", "no_version"
"""outcomes of a list: filed; lost before it came to the worker; damaged; of a version that is nowhere any more"""


class ExposureLogWorker:
    """Files lists from `run` to the stop event."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        home: Path,
        days: int,
        tables_of: Callable[[str], Tables | None],
        is_mine: Callable[[], bool],
        contact: Contact | None = None,
    ) -> None:
        """`days` are kept; `tables_of` opens the tables of a version; `is_mine`: whether this worker files."""
        self.lists = Counter[str]()
        """lists since the worker started, by outcome"""
        self._store, self._keys, self._files, self._days = store, keys, ExposureFiles(home), days
        self._tables_of, self._is_mine = tables_of, is_mine
        self._contact = Contact() if contact is None else contact
        self._hidden = HiddenSet()
        self._tidied_s = -TIDY_S

    def run(self, stop: threading.Event) -> None:
        """Files until the stop event."""
        repeat(stop, self._round, self._contact, PART, "exposures_not_filed", every_s=EVERY_S)

    def _round(self) -> float:
        if not self._is_mine():
            return EVERY_S
        filed = self.run_once()
        self._tidy()
        return BUSY_S if filed >= ENTRIES_AT_ONCE else EVERY_S

    def run_once(self) -> int:
        """Files the next batches of one day; returns how many batches. Raises StoreError, PymkError or OSError."""
        key = self._keys.exposures_filed
        with self._files.locked():
            # what is filed already: by the store, or by a file that a worker put in place before it died
            stored = self._store.get(key)
            noted = STREAM_START if stored is None else stored.decode()
            filed = max(noted, self._files.last(), key=order)
            if filed != noted:
                self._store.compare_and_set(key, stored, filed.encode())
                stored = filed.encode()
            gaps = self._gaps(filed)
            self._store.stream_trim(self._keys.exposure_log, filed)
            # the next batches
            entries = by_day(self._store.stream_read(self._keys.exposure_log, filed, ENTRIES_AT_ONCE))
            if not entries:
                return 0
            found = Counter[str]()
            frame = self._rows(entries, gaps, found)
            last = entries[-1][0]
            path = self._files.write(frame, entries[0][0], last)
            self._counted(gaps, found.pop(MISSING, 0))
            if not self._store.compare_and_set(key, stored, last.encode()):
                path.unlink()  # the worker of another home was faster
                raise PymkError("another worker files the exposure log into another PYMK_HOME; all need the same")
            self.lists.update(found)
            self._store.stream_trim(self._keys.exposure_log, last)
            self._files.merge()
        return len(entries)

    def _gaps(self, filed: str) -> ExposureGaps:
        """What is known of the numbers of lists up to a position.

        A worker that died when its file was in place may have left batches that are filed and not followed: they are,
        before they are trimmed.
        """
        gaps = ExposureGaps.of(self._store.get(self._keys.exposures_counted), filed)
        known, missing = gaps.position, 0
        while order(gaps.position) < order(filed):
            entries = self._store.stream_read(self._keys.exposure_log, gaps.position, ENTRIES_AT_ONCE)
            left = [one for one in entries if order(one[0]) <= order(filed)]
            for position, entry in left:
                missing += gaps.follow(position, _batch(entry))
            if not left:
                gaps.position = filed
        if gaps.position != known:
            self._counted(gaps, missing)
        return gaps

    def _counted(self, gaps: ExposureGaps, missing: int) -> None:
        """Keeps how far lists were followed, and counts what was missing on the way: whoever keeps it counts it."""
        self._store.set(self._keys.exposures_counted, gaps.pack())
        self.lists[MISSING] += missing

    def _rows(self, entries: Sequence[tuple[str, bytes]], gaps: ExposureGaps, found: Counter[str]) -> pl.DataFrame:
        """The rows of lists of batches, without people who were erased since; `found` counts what became of them."""
        records: list[ExposureRecord] = []
        for position, entry in entries:
            batch = _batch(entry)
            found[MISSING] += gaps.follow(position, batch)
            found[UNREADABLE] += batch is None
            for record in batch.records if batch else ():
                try:
                    records.append(unpack_list(record))
                except CorruptRecordError:
                    found[UNREADABLE] += 1
        frame, lost = rows_of(records, self._tables_of)
        found[NO_VERSION] += lost
        found[FILED] += len(records) - lost
        follow_blocking(self._store, self._keys, self._hidden)
        return self._without_erased(frame)

    def _without_erased(self, frame: pl.DataFrame) -> pl.DataFrame:
        erased = self._hidden.erased()
        if not erased or frame.is_empty():
            return frame
        at = frame["at"].dt.epoch("us").to_numpy()
        gone = np.zeros(len(frame), dtype=bool)
        for column in ("viewer", "candidate"):
            gone |= np.array([erased.get(user_id, 0) for user_id in frame[column].to_list()]) >= at
        return frame.filter(pl.Series(~gone))

    def _tidy(self) -> None:
        """Removes the days that are over."""
        if time.monotonic() - self._tidied_s < TIDY_S:
            return
        with self._files.locked():
            today = datetime.datetime.now(datetime.UTC).date()
            self._files.expire(today - datetime.timedelta(days=self._days))
        self._tidied_s = time.monotonic()


def _batch(entry: bytes) -> Batch | None:
    """The batch of an entry; None if it is damaged."""
    with suppress(CorruptRecordError):
        return Batch.unpack(entry)
    return None
