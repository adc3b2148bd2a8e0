"""Which versions wait for an approval, and what was decided of them."""

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


class _Decisions(RootModel[dict[str, Decision]]):
    """As stored under Keys.decisions: by version id."""


def read_decisions(store: SyncStore, keys: Keys) -> dict[str, Decision]:
    """All decisions by version. Raises CorruptRecordError."""
    return _decode(store.get(keys.decisions))


def waiting(store: SyncStore, keys: Keys) -> set[str]:
    """The versions that wait."""
    return {version for version, found in read_decisions(store, keys).items() if found.state == "waiting"}


def write_decision(store: SyncStore, keys: Keys, version: str, decision: Decision) -> None:
    """Writes the decision of one version; others at the same time are kept. Raises VersionError if that never ends."""
    for _ in range(_ATTEMPTS):
        content = store.get(keys.decisions)
        every = _decode(content) | {version: decision}
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
