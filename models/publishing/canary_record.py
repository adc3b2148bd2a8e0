"""The canary: a version that a share of the viewers is served from, beside the active one, and how it does.

It ends with the active version that it is tried beside: no process serves it beside another.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError
from models.publishing.audit import Action, Actor, write_audit
from models.publishing.pointer import ActivePointer, read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit, Guard, Outcome

Ending = Literal["rolled_back", "aborted", "promoted", "superseded"]
Verdict = Literal["waiting", "ok", "failed"]


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
    """when this share was set"""
    who: str
    note: str | None = None

    @property
    def identity(self) -> str:
        """Tells this step of this canary from every other."""
        return f"{self.version} {self.started_at.isoformat()} {self.step}"

    def holds(self, pointer: ActivePointer | None) -> bool:
        """Whether it is tried beside the active version of a pointer, which has been active since it was started."""
        if pointer is None or pointer.version != self.control:
            return False
        return self.control_at in (None, pointer.activated_at)

    def stepped(self, share: float, at: datetime) -> "Canary":
        """The same with another share."""
        return self.model_copy(update={"share": share, "step": self.step + 1, "stepped_at": at})


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


def write_canary(store: SyncStore, keys: Keys, before: bytes | None, canary: Canary) -> bool:
    """Writes the canary in place of what was read; returns whether it still stood there."""
    return store.compare_and_set(keys.canary, before, canary.model_dump_json().encode())


def remove_canary(store: SyncStore, keys: Keys, content: bytes) -> bool:
    """Removes the record of a canary that was read; returns whether it still stood there."""
    guard = Guard(keys.canary, content, len(content))
    return store.commit([Commit(guards=[guard], deletes=[keys.canary])])[0] == Outcome.APPLIED


def end_superseded(store: SyncStore, keys: Keys, pointer: ActivePointer, by: Actor) -> None:
    """Ends the canary that was tried beside another version than the one that is active now."""
    content = store.get(keys.canary)
    try:
        canary = decode_canary(content)
    except CorruptRecordError:
        canary = None
    if not content or (canary is not None and canary.holds(pointer)) or not remove_canary(store, keys, content):
        return
    if canary is None:
        return
    promoted = canary.version == pointer.version
    note = by.note if promoted else f"superseded by {pointer.version}"
    state: Ending = "promoted" if promoted else "superseded"
    write_report(store, keys, ended_report(read_report(store, keys), canary, state, note))
    what: Action = "canary_promoted" if promoted else "canary_superseded"
    write_audit(store, keys, what, canary.version, Actor(by.who, note), before=canary.control)


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
    running = running_canary(store, keys, pointer)
    if running is not None and running.started_at == report.canary.started_at:
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
