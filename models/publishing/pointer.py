"""Which version is served: publish one, activate another, go back."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError
from models.store.keys import Keys
from models.store.protocol import SyncStore

DEPTH = 20
"""how many versions back the pointer remembers"""


class ActivePointer(BaseModel):
    """What the store says is served."""

    model_config = ConfigDict(frozen=True)

    version: str
    activated_at: AwareDatetime
    before: tuple[str, ...] = ()
    """the versions active before, latest first; rollback goes to the first"""

    @property
    def lasting(self) -> tuple[str, ...]:
        """The versions that the store keeps without expiry: this and the one before."""
        return (self.version, *self.before[:1])


def read_pointer(store: SyncStore, *, keys: Keys) -> ActivePointer | None:
    """The pointer, or None where nothing was published. Raises CorruptRecordError where it does not read back."""
    return decode_pointer(store.get(keys.active))


def decode_pointer(content: bytes | None) -> ActivePointer | None:
    """The pointer of the bytes under Keys.active. Raises CorruptRecordError where they are none."""
    if content is None:
        return None
    try:
        return ActivePointer.model_validate_json(content)
    except ValidationError as error:
        raise CorruptRecordError(
            "the store's pointer to the active version does not read back; delete that key and activate a version"
        ) from error
