"""The canary: a version that a share of the viewers is served from, beside the active one, and how it does.

It ends with the active version that it is tried beside: no process serves it beside another.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError
from models.publishing.audit import Action, Actor, AuditEntry, read_audit, write_audit
from models.publishing.pointer import ActivePointer, read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit, Guard, Outcome

Ending = Literal["rolled_back", "aborted", "promoted", "superseded"]
Verdict = Literal["waiting", "ok", "failed"]
_ENDS: dict[Ending, Action] = {
    "rolled_back": "canary_rolled_back",
    "aborted": "canary_aborted",
    "promoted": "canary_promoted",
    "superseded": "canary_superseded",
}
CHANGED = "another process changed the canary meanwhile; check pymk canary and try again"
_TOO_LONG = "steps must end sooner (PYMK_CANARY_STEP_HOURS, PYMK_CANARY_LISTS), and a worker must be live"
"""why canaries are superseded before they are judged"""


class CanaryEnd(BaseModel):
    """How a canary ended. It stands in its record until report and audit trail say so, whoever dies meanwhile."""

    model_config = ConfigDict(frozen=True)

    state: Ending
    at: AwareDatetime
    who: str
    note: str | None = None
    failed: tuple[str, ...] = ()
    """names of the guardrails that took it back"""


class Canary(BaseModel):
    """What is tried beside which version, on how many viewers."""

    model_config = ConfigDict(frozen=True)

    version: str
    control: str
    """the active version when it was started; once another one is active, there is no canary any more"""
    control_at: AwareDatetime | None = None
    """when that became active; None in records of earlier releases: at any time"""
    share: float
    """of the viewers, above 0 and below 1"""
    step: int = 0
    """how often its share was changed"""
    started_at: AwareDatetime
    stepped_at: AwareDatetime
    """when this share was set, by the store's clock"""
    who: str
    note: str | None = None
    promoted_at: AwareDatetime | None = None
    """when a process began to promote it, with the lock on the versions"""
    promoted_by: str | None = None
    """token of that process's lease on the lock; without the lease it is dead"""
    end: CanaryEnd | None = None
    """nobody is served from it any more"""

    @property
    def identity(self) -> str:
        """Tells this step of this canary from every other."""
        return f"{self.version} {self.started_at.isoformat()} {self.step}"

    def holds(self, pointer: ActivePointer | None) -> bool:
        """Whether it is tried beside the active version of a pointer, which has been active since it was started."""
        if self.end is not None or pointer is None or pointer.version != self.control:
            return False
        return self.control_at in (None, pointer.activated_at)

    def stepped(self, share: float, at: datetime) -> "Canary":
        """The same with another share."""
        return self.model_copy(update={"share": share, "step": self.step + 1, "stepped_at": at, "promoted_at": None})


class Guardrail(BaseModel):
    """One comparison of the canary with the version beside it."""

    model_config = ConfigDict(frozen=True)

    name: str
    verdict: Verdict
    canary: float | None = None
    control: float | None = None
    """its value in the lists of the viewers outside the share"""
    limit: float | None = None
    """value of the canary from which on it fails, once that is beyond chance"""
    sentence: str


class CanaryReport(BaseModel):
    """How a canary does, or did."""

    model_config = ConfigDict(frozen=True)

    canary: Canary
    state: Literal["running", "rolled_back", "aborted", "promoted", "superseded"] = "running"
    at: AwareDatetime
    lists: dict[str, int]
    """lists given out at this share, by `canary` and `control`"""
    guardrails: list[Guardrail] = []
    failed: list[str] = []
    """names of the guardrails that took it back"""
    note: str | None = None
    """why it ended"""


def read_canary(store: SyncStore, keys: Keys) -> Canary | None:
    """The canary, None if there is none. It has ended if another version than its control is active.

    Raises CorruptRecordError.
    """
    return decode_canary(store.get(keys.canary))


def running_canary(store: SyncStore, keys: Keys, pointer: ActivePointer | None) -> Canary | None:
    """The canary that is tried beside the active version; None if there is none. Raises CorruptRecordError."""
    canary = read_canary(store, keys)
    return canary if canary is not None and canary.holds(pointer) else None


def kept_for_canary(store: SyncStore, keys: Keys) -> set[str]:
    """The version of the canary, if there is one: neither store nor disk may drop it."""
    try:
        canary = read_canary(store, keys)
    except CorruptRecordError:  # nobody is served from it
        return set()
    return set() if canary is None else {canary.version}


def in_service(store: SyncStore, keys: Keys) -> set[str]:
    """The versions that somebody is served from or was: active, before that one, the canary. Raises CorruptRecordError.

    A rollback leads to those before.
    """
    pointer = read_pointer(store, keys=keys)
    if pointer is None:
        return set()
    try:
        canary = running_canary(store, keys, pointer)
    except CorruptRecordError:  # nobody is served from it
        canary = None
    return {pointer.version, *pointer.before, *([] if canary is None else [canary.version])}


def decode_canary(content: bytes | None) -> Canary | None:
    """The canary of the bytes under Keys.canary. Raises CorruptRecordError."""
    if not content:
        return None
    try:
        return Canary.model_validate_json(content)
    except ValidationError as error:
        raise CorruptRecordError(
            "the store's record of the canary cannot be read; pymk canary abort removes it"
        ) from error


def readable_canary(content: bytes | None) -> Canary | None:
    """The same; None too if it cannot be read."""
    try:
        return decode_canary(content)
    except CorruptRecordError:
        return None


def shared(share: float, note: str | None) -> str:
    """The note of an entry in the audit trail about the share of a canary."""
    return f"share {share:.4g}" if note is None else f"share {share:.4g}; {note}"


def write_canary(store: SyncStore, keys: Keys, before: bytes | None, canary: Canary) -> bool:
    """Writes the canary in place of what was read; returns whether it still stood there."""
    return store.compare_and_set(keys.canary, before, canary.model_dump_json().encode())


def remove_canary(store: SyncStore, keys: Keys, content: bytes) -> bool:
    """Removes the record of a canary that was read; returns whether it still stood there."""
    guard = Guard(keys.canary, content, len(content))
    return store.commit([Commit(guards=[guard], deletes=[keys.canary])])[0] == Outcome.APPLIED


def end_superseded(store: SyncStore, keys: Keys, pointer: ActivePointer, by: Actor) -> None:
    """Ends the canary that was tried beside another version than the one that is active now, or completes its end.

    For whoever holds the lock on the versions, so that the pointer is no older than the canary.
    """
    _end_superseded(store, keys, store.get(keys.canary), pointer, by)


def complete_end(store: SyncStore, keys: Keys, by: Actor) -> None:
    """The same for anybody: completes what whoever ended a canary, or switched, left out if it died meanwhile."""
    content = store.get(keys.canary)  # before the pointer: a canary that was started since is another one
    pointer = read_pointer(store, keys=keys)
    if pointer is not None:
        _end_superseded(store, keys, content, pointer, by)


def _end_superseded(store: SyncStore, keys: Keys, content: bytes | None, pointer: ActivePointer, by: Actor) -> None:
    canary = readable_canary(content)
    if not content or (canary is not None and canary.holds(pointer)):
        return
    if pointer.switch is not None:  # who switched, if whoever completes that is somebody else
        by = Actor(pointer.switch.who, pointer.switch.note)
    if canary is None:
        remove_canary(store, keys, content)
    elif canary.end is not None:
        finish_end(store, keys, content)
    elif canary.version != pointer.version:
        supersede(store, keys, content, canary, pointer.version, by.who)
    else:
        end = CanaryEnd(state="promoted", at=datetime.now(UTC), who=by.who, note=by.note)
        end_with(store, keys, content, canary, end)


def supersede(store: SyncStore, keys: Keys, content: bytes, canary: Canary, version: str, who: str) -> bool:
    """Ends a canary that a version takes the place of before it is judged; returns whether it still was as read."""
    lists = _lists_of(read_report(store, keys), canary)
    judged = "looked at" if lists is None else f"judged, after {lists:,} lists at {canary.share:.0%} of the viewers"
    note = f"superseded by {version} before it was {judged}"
    end = CanaryEnd(state="superseded", at=datetime.now(UTC), who=who, note=note)
    if not end_with(store, keys, content, canary, end):
        return False
    in_a_row = _superseded_in_a_row(read_audit(store, keys))
    said = (
        f"the last {in_a_row} canaries were all superseded before they were judged: {_TOO_LONG}"
        if in_a_row > 1
        else note
    )
    structlog.get_logger().warning(
        "canary_superseded", version=canary.version, by=version, lists=lists, in_a_row=in_a_row, said=said
    )
    return True


def end_with(
    store: SyncStore, keys: Keys, content: bytes, canary: Canary, end: CanaryEnd, report: CanaryReport | None = None
) -> bool:
    """Ends a canary that was read; returns whether it still was as read. `report` is kept as the last word on it."""
    ended = canary.model_copy(update={"end": end})
    if not write_canary(store, keys, content, ended):
        return False
    finish_end(store, keys, ended.model_dump_json().encode(), report)
    return True


def finish_end(store: SyncStore, keys: Keys, content: bytes, report: CanaryReport | None = None) -> None:
    """Says in report and audit trail how a canary ended whose record says so, each once, and removes the record."""
    canary = readable_canary(content)
    if canary is None or canary.end is None:
        return
    end, known = canary.end, read_report(store, keys)
    if known is None or known.canary.started_at != canary.started_at or known.state == "running":
        last = ended_report(report or known, canary, end.state, end.note)
        write_report(store, keys, last.model_copy(update={"failed": list(end.failed)}))
    by, what = Actor(end.who, end.note), _ENDS[end.state]
    write_audit(store, keys, what, canary.version, by, before=canary.control, once_at=end.at)
    remove_canary(store, keys, content)


def _lists_of(known: CanaryReport | None, canary: Canary) -> int | None:
    """The lists of the canary's last step, if a worker was live: of the last report, if it is of that."""
    return known.lists.get("canary") if known is not None and known.canary.identity == canary.identity else None


def _superseded_in_a_row(entries: Sequence[AuditEntry]) -> int:
    """How many of the last canaries were superseded; entries newest first."""
    ends = [entry.what for entry in entries if entry.what in _ENDS.values()]
    return next((at for at, what in enumerate(ends) if what != "canary_superseded"), len(ends))


def ended_report(known: CanaryReport | None, canary: Canary, state: Ending, note: str | None) -> CanaryReport:
    """The last report on a canary: what was known of it, and how it ended."""
    now = datetime.now(UTC)
    if known is None or known.canary.started_at != canary.started_at:
        known = CanaryReport(canary=canary, at=now, lists={})
    return known.model_copy(update={"state": state, "at": now, "note": note})


def read_report(store: SyncStore, keys: Keys) -> CanaryReport | None:
    """The latest report on a canary, running or ended; None if there is none that this release reads."""
    return decode_report(store.get(keys.canary_report))


def told_report(store: SyncStore, keys: Keys) -> CanaryReport | None:
    """The latest report as people are told: one on a canary that has ended, without its last word, says how.

    Its last word is missing where the process died that ended it. Raises CorruptRecordError for pointer or canary.
    """
    report, pointer = read_report(store, keys), read_pointer(store, keys=keys)
    if report is None or report.state != "running":
        return report
    canary = read_canary(store, keys)
    if canary is not None and canary.started_at == report.canary.started_at:
        if canary.end is not None:
            last = ended_report(report, canary, canary.end.state, canary.end.note)
            return last.model_copy(update={"failed": list(canary.end.failed)})
        if canary.holds(pointer):
            return report
    active = None if pointer is None else pointer.version
    ending: Ending = "aborted" if active == report.canary.control else "superseded"
    return report.model_copy(update={"state": "promoted" if active == report.canary.version else ending})


def decode_report(content: bytes | None) -> CanaryReport | None:
    """The report of the bytes under Keys.canary_report; None if this release cannot read it."""
    try:
        return CanaryReport.model_validate_json(content) if content else None
    except ValidationError:
        return None


def judge_report(store: SyncStore, keys: Keys, report: CanaryReport) -> bool:
    """Keeps a report on a running canary, unless another step or the end of it was reported meanwhile."""
    content = store.get(keys.canary_report)
    known = decode_report(content)
    if known is not None and known.canary.started_at == report.canary.started_at and known.state != "running":
        return False
    if decode_canary(store.get(keys.canary)) != report.canary:  # its end is not reported yet, or another one runs
        return False
    return store.compare_and_set(keys.canary_report, content, report.model_dump_json().encode())


def write_report(store: SyncStore, keys: Keys, report: CanaryReport) -> None:
    """Keeps a report in place of the one before."""
    store.set(keys.canary_report, report.model_dump_json().encode())
