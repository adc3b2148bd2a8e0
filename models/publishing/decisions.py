"""Which versions wait for an approval, and what was decided of them."""

from collections.abc import Callable, Collection
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, RootModel, ValidationError

from models.errors import CorruptRecordError, VersionError
from models.store.keys import Keys
from models.store.protocol import SyncStore

State = Literal["waiting", "approved", "rejected"]
MOST = 100
"""decisions that are kept, the latest ones, beside all that wait"""
_ATTEMPTS = 20


class Decision(BaseModel):
    """What is decided of one version."""

    model_config = ConfigDict(frozen=True)

    state: State
    at: AwareDatetime
    who: str
    note: str | None = None
    told: tuple[str, ...] | None = None
    """of one that waits: the ways by which somebody was told; None of others, and in records of earlier releases"""


class _Decisions(RootModel[dict[str, Decision]]):
    """As stored under Keys.decisions: by version id."""


def read_decisions(store: SyncStore, keys: Keys) -> dict[str, Decision]:
    """All decisions by version. Raises CorruptRecordError."""
    return _decode(store.get(keys.decisions))


def waiting(store: SyncStore, keys: Keys) -> set[str]:
    """The versions that wait."""
    return {version for version, found in read_decisions(store, keys).items() if found.state == "waiting"}


def refuse_unapproved(store: SyncStore, keys: Keys, version: str) -> None:
    """Raises VersionError if a version waits for an approval, or was rejected."""
    if version in waiting(store, keys):
        raise VersionError(f"version {version} waits for an approval: pymk approve {version} publishes it")
    refuse_rejected(store, keys, version)


def refuse_rejected(store: SyncStore, keys: Keys, version: str) -> None:
    """Raises VersionError if a version was rejected, perhaps by way of another host: its files may still be here."""
    decision = read_decisions(store, keys).get(version)
    if decision is not None and decision.state == "rejected":
        why = f" ({decision.note})" if decision.note else ""
        raise VersionError(
            f"version {version} was rejected, by {decision.who} at {decision.at:%Y-%m-%d %H:%M} UTC{why}: nobody is "
            "served from it; pymk nightly builds another"
        )


def write_decision(store: SyncStore, keys: Keys, version: str, decision: Decision) -> None:
    """Writes the decision of one version; others at the same time are kept. Raises VersionError if that never ends."""
    _change(store, keys, version, lambda _: decision)


def note_told(store: SyncStore, keys: Keys, version: str, ways: Collection[str]) -> None:
    """Notes by which ways somebody was told that a version waits, if it still does."""

    def told(decision: Decision | None) -> Decision | None:
        if decision is None or decision.state != "waiting":
            return None
        return decision.model_copy(update={"told": tuple(sorted({*(decision.told or ()), *ways}))})

    _change(store, keys, version, told)


def _change(store: SyncStore, keys: Keys, version: str, change: Callable[[Decision | None], Decision | None]) -> None:
    """Writes what a decision is changed to; None: nothing."""
    for _ in range(_ATTEMPTS):
        content = store.get(keys.decisions)
        every = _decode(content)
        if (decision := change(every.get(version))) is None:
            return
        every[version] = decision
        decided = sorted((name for name, one in every.items() if one.state != "waiting"), reverse=True)
        for name in decided[MOST:]:
            del every[name]
        if store.compare_and_set(keys.decisions, content, _Decisions(every).model_dump_json().encode()):
            return
    raise VersionError("other processes decide on versions all the time; try again")


def _decode(content: bytes | None) -> dict[str, Decision]:
    if content is None:
        return {}
    try:
        return _Decisions.model_validate_json(content).root
    except ValidationError as error:
        raise CorruptRecordError(
            "the store's record of decisions on versions cannot be read; delete its key and run the night again"
        ) from error
