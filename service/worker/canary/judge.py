"""The worker's part in a canary, in a thread of its own: judges it by its guardrails, takes it back or goes on with it.

One worker at a time does, the one that holds the first shard of the event log. While no worker is live nobody judges:
a canary then stays as it is.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from models.errors import CorruptRecordError, VersionError
from models.publishing.audit import Actor
from models.publishing.canary_counts import total
from models.publishing.canary_ending import end_canary, promote_canary, step_canary
from models.publishing.canary_record import (
    Canary,
    CanaryReport,
    Guardrail,
    complete_end,
    judge_report,
    running_canary,
)
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.store_clock import store_time
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.worker.canary.guardrails import CANDIDATES, judged, lists_of
from service.worker.canary.shadow import Shadow
from service.worker.contact import Contact
from service.worker.rounds import repeat

EVERY_S = 0.5
"""how often a canary is judged"""
PART = "canary"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CanaryPlan:
    """When a canary goes on, and to which share."""

    steps: Sequence[float] = (0.05, 0.25, 1.0)
    """shares, rising, the last one 1"""
    least: int = 1000
    """lists of the canary in a step before the next, unless it has lasted `hours`"""
    minutes: float = 30.0
    """the least time of a step"""
    hours: float = 8.0
    """time of a step after which fewer lists do: two steps end before the next night supersedes the canary"""

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
        repeat(stop, self._round, self._contact, PART, "canary_not_judged", every_s=EVERY_S)

    def _round(self) -> float:
        if self._is_mine():
            self.run_once()
        return EVERY_S

    def run_once(self) -> CanaryReport | None:
        """Judges the canary once, and acts on it; returns the report, None if there is no canary.

        Raises StoreError, and what publishing raises if it cannot be promoted.
        """
        store, keys = self._store, self._keys
        try:
            canary = running_canary(store, keys, read_pointer(store, keys=keys))
        except CorruptRecordError:  # whoever ends it is told
            return None
        if canary is None:
            complete_end(store, keys, Actor.here())
            return None
        counts = total(canary.identity, store.fields(keys.canary_counts).values())
        guardrails = judged(counts)
        guardrails[1:1] = self._shadow.guardrails(canary)
        failed = [one for one in guardrails if one.verdict == "failed"]
        now = store_time(store)
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
            elif judge_report(store, keys, report) and (why := self._passes(canary, report, now)):
                self._go_on(canary, why)
        except VersionError as error:
            running = running_canary(store, keys, read_pointer(store, keys=keys))
            if running is not None and running.promoted_at is None:
                raise  # else somebody ended it meanwhile, or promotes it
            log.warning("canary_not_changed", version=canary.version, failed=report.failed, reason=str(error))
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

    def _passes(self, canary: Canary, report: CanaryReport, now: datetime) -> str | None:
        """Why a step goes on in which no guardrail failed; None while it has not seen enough.

        With few lists it goes on by time: few people have seen it, and if it waited, it would be superseded unjudged.
        That takes that this worker could look at both versions itself.
        """
        plan, lists, lasted_s = self._plan, report.lists, (now - canary.stepped_at).total_seconds()
        if lasted_s < plan.minutes * 60:
            return None
        if min(lists.values()) >= plan.least:
            why = f"no guardrail failed over {lists['canary']:,} lists of the canary"
        elif lasted_s >= plan.hours * 3600 and any(one.name == CANDIDATES for one in report.guardrails):
            why = (
                f"by time: no guardrail failed in {plan.hours:g} hours, over {lists['canary']:,} lists of the canary "
                f"and {lists['control']:,} others, where {plan.least:,} of each are wanted"
            )
        else:
            return None
        too_few = [one.name for one in report.guardrails if one.verdict == "waiting"]
        return f"{why}; too few to judge by: {', '.join(too_few)}" if too_few else why

    def _go_on(self, canary: Canary, why: str) -> None:
        share, by = self._plan.after(canary.share), Actor.here(why)
        if share < 1:
            step_canary(self._store, self._versions, self._keys, canary, share, by)
        else:
            promote_canary(
                self._store,
                self._versions,
                keys=self._keys,
                by=by,
                expected=canary,
                superseded_ttl_s=self._superseded_ttl_s,
            )
