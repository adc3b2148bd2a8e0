"""The worker's part in a canary, in a thread of its own: judges it by its guardrails, takes it back or goes on with it.

One worker at a time does, the one that holds the first shard of the event log. While no worker is live nobody judges:
a canary then stays as it is.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.errors import CorruptRecordError, VersionError
from models.publishing.audit import Actor
from models.publishing.canary import end_canary, promote_canary, step_canary
from models.publishing.canary_counts import total
from models.publishing.canary_record import Canary, CanaryReport, Guardrail, judge_report, running_canary
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.worker.canary.guardrails import judged, lists_of
from service.worker.canary.shadow import Shadow
from service.worker.contact import Contact

EVERY_S = 0.5
"""how often a canary is judged"""
PART = "canary"


@dataclass(frozen=True)
class CanaryPlan:
    """When a canary goes on, and to which share."""

    steps: Sequence[float] = (0.05, 0.25, 1.0)
    """shares, rising, the last one 1"""
    least: int = 1000
    """lists of the canary in a step before the next"""
    minutes: float = 30.0
    """the least time of a step"""

    def after(self, share: float) -> float:
        """The share of the next step."""
        return min((step for step in self.steps if step > share + 1e-9), default=1.0)


class CanaryWorker:
    """Judges from `run` to the stop event."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        versions: Versions,
        is_mine: Callable[[], bool],
        plan: CanaryPlan,
        superseded_ttl_s: float,
        contact: Contact | None = None,
        tables_of: Callable[[str], Tables | None] = lambda _: None,
    ) -> None:
        """`is_mine` says whether this worker judges; `tables_of` opens the tables of a version, None if that fails."""
        self._store, self._keys, self._versions, self._is_mine, self._plan = store, keys, versions, is_mine, plan
        self._superseded_ttl_s = superseded_ttl_s
        self._contact = Contact() if contact is None else contact
        self._shadow = Shadow(store, keys, versions, tables_of)

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event."""
        while not stop.wait(EVERY_S):
            try:
                if self._is_mine():
                    self.run_once()
            except Exception as error:  # the thread must survive for the next round
                self._contact.failed(PART, "canary_not_judged", error)
            else:
                self._contact.worked(PART)

    def run_once(self) -> CanaryReport | None:
        """Judges the canary once, and acts on it; returns the report, None if there is no canary.

        Raises StoreError, and what publishing raises if it cannot be promoted.
        """
        store, keys = self._store, self._keys
        try:
            canary = running_canary(store, keys, read_pointer(store, keys=keys))
        except CorruptRecordError:  # whoever ends it is told
            canary = None
        if canary is None:
            return None
        counts = total(canary.identity, store.fields(keys.canary_counts).values())
        guardrails = judged(counts)
        guardrails[1:1] = self._shadow.guardrails(canary)
        failed = [one for one in guardrails if one.verdict == "failed"]
        now = datetime.fromtimestamp(store.clock_us() / MICROSECONDS, UTC)
        report = CanaryReport(
            canary=canary,
            at=now,
            lists=lists_of(counts),
            guardrails=guardrails,
            failed=[one.name for one in failed],
        )
        try:
            if failed:
                self._take_back(canary, report, failed)
            elif judge_report(store, keys, report) and self._passes(canary, report, now):
                self._go_on(canary, report)
        except VersionError:
            if running_canary(store, keys, read_pointer(store, keys=keys)) is not None:
                raise  # else somebody ended it meanwhile
        return report

    def _take_back(self, canary: Canary, report: CanaryReport, failed: Sequence[Guardrail]) -> None:
        why = "; ".join(f"guardrail {one.name}: {one.sentence}" for one in failed)
        end_canary(
            self._store,
            self._versions,
            "rolled_back",
            keys=self._keys,
            by=Actor.here(why),
            report=report,
            expected=canary,
            superseded_ttl_s=self._superseded_ttl_s,
        )

    def _passes(self, canary: Canary, report: CanaryReport, now: datetime) -> bool:
        """Whether a step has seen enough."""
        old_enough = now - canary.stepped_at >= timedelta(minutes=self._plan.minutes)
        return old_enough and min(report.lists.values()) >= self._plan.least

    def _go_on(self, canary: Canary, report: CanaryReport) -> None:
        share = self._plan.after(canary.share)
        by = Actor.here(f"every guardrail held over {report.lists['canary']:,} lists of the canary")
        if share < 1:
            step_canary(self._store, self._keys, canary, share, by)
        else:
            promote_canary(
                self._store,
                self._versions,
                keys=self._keys,
                by=by,
                expected=canary,
                superseded_ttl_s=self._superseded_ttl_s,
            )
