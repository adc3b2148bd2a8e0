"""The runs of the nightly job with their steps, as they are at work and as they were, in the store."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.store.keys import Keys
from models.store.protocol import SyncStore

MOST = 60
"""runs that are kept"""
STALE_S = 90.0
"""a run at work that was not heard of for so long was stopped: killed, or its host is gone"""

StepState = Literal["running", "done", "failed"]
RunState = Literal["running", "published", "canary", "waiting", "refused", "failed", "stopped"]


class StepRun(BaseModel):
    """One step of a run."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: StepState = "running"
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    seconds: float | None = None
    peak_mb: float | None = None
    """most memory that the process held during the step, or a process that it started, megabytes"""
    rows: int | None = None
    """what it worked on: people, or friendships in training"""
    bound_by: Literal["processors", "one processor", "disk", "waiting"] | None = None
    """what took its time: all processors, one of them, the disk, or something else that it waited for"""
    tries: int = 1
    error: str | None = None
    """why the last try failed, if one did"""


class NightRun(BaseModel):
    """One run of pymk nightly."""

    model_config = ConfigDict(frozen=True)

    run: str
    """id of the version that it makes"""
    data: str
    """the dataset directory"""
    host: str
    state: RunState = "running"
    started_at: AwareDatetime
    seen_at: AwareDatetime
    """when it was last heard of"""
    ended_at: AwareDatetime | None = None
    trained: str | None = None
    """why it trained; None: it kept the former weights, or did not get there"""
    error: str | None = None
    resumed: int = 0
    """how often it was taken up again after it had been stopped"""
    steps: list[StepRun] = []


def write_run(store: SyncStore, keys: Keys, run: NightRun) -> None:
    """Writes a run in place of what was known of it, and drops the oldest beyond MOST."""
    store.fields_set(keys.nights, {run.run: run.model_dump_json().encode()})
    names = sorted(store.fields(keys.nights), reverse=True)
    if len(names) > MOST:
        store.fields_delete(keys.nights, names[MOST:])


def read_runs(store: SyncStore, keys: Keys, now: datetime | None = None) -> list[NightRun]:
    """All runs that are kept, newest first; one that cannot be read is left out."""
    moment, found = now or datetime.now(UTC), list[NightRun]()
    for _, content in sorted(store.fields(keys.nights).items(), reverse=True):
        try:
            run = NightRun.model_validate_json(content)
        except ValidationError:
            continue
        if run.state == "running" and (moment - run.seen_at).total_seconds() > STALE_S:
            run = run.model_copy(update={"state": "stopped"})
        found.append(run)
    return found
