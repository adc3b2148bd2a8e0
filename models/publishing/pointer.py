"""The pointer to the active version."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError
from models.store.keys import Keys
from models.store.protocol import SyncStore

DEPTH = 20
"""how many earlier versions the pointer has"""


SwitchKind = Literal["published", "activated", "rolled_back"]


class Switch(BaseModel):
    """How a version became the active one, for the audit trail."""

    model_config = ConfigDict(frozen=True)

    what: SwitchKind
    who: str
    note: str | None = None
    before: str | None = None
    """the version that was served until then"""


class ActivePointer(BaseModel):
    """The served version, and the versions that were active before it."""

    model_config = ConfigDict(frozen=True)

    version: str
    activated_at: AwareDatetime
    before: tuple[str, ...] = ()
    """latest first; rollback activates the first"""
    switch: Switch | None = None
    """what led here: whoever sets a pointer may die before the trail says so. None in pointers of earlier releases"""

    @property
    def lasting(self) -> tuple[str, ...]:
        """The versions that the store keeps without expiry: this one and the one before."""
        return (self.version, *self.before[:1])


def read_pointer(store: SyncStore, *, keys: Keys) -> ActivePointer | None:
    """The pointer, or None if nothing was published. Raises CorruptRecordError."""
    return decode_pointer(store.get(keys.active))


def is_served(store: SyncStore, keys: Keys, version: str) -> bool:
    """Whether a version is the active one."""
    pointer = read_pointer(store, keys=keys)
    return pointer is not None and pointer.version == version


def decode_pointer(content: bytes | None) -> ActivePointer | None:
    """The pointer of the bytes under Keys.active. Raises CorruptRecordError."""
    if content is None:
        return None
    try:
        return ActivePointer.model_validate_json(content)
    except ValidationError as error:
        raise CorruptRecordError(
            "the store's pointer to the active version cannot be read; delete its key and activate a version"
        ) from error
