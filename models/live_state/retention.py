"""How far back live state goes: to the cut of the oldest version that can still be activated."""

from collections.abc import Iterable

from models.errors import StoreUnavailableError
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.version.manifest import Manifest

_ATTEMPTS = 10


def watermark_of(manifests: Iterable[Manifest]) -> int:
    """The stamp that the cut of every one of these versions has reached, microseconds; 0 where there is none.

    Give all versions that can still be activated, on whichever host: what came after an older one's cut is kept for it.
    """
    return min((manifest.cut_us for manifest in manifests), default=0)


async def read_watermark(store: AsyncStore, keys: Keys) -> int:
    """The floor that writers drop what is older than; 0 before there is one."""
    return int(await store.get(keys.watermark) or 0)


def read_watermark_blocking(store: SyncStore, keys: Keys) -> int:
    """The same for the worker and the commands: a version whose cut is before it cannot be activated."""
    return int(store.get(keys.watermark) or 0)


def raise_watermark(store: SyncStore, keys: Keys, watermark: int) -> int:
    """Raises the floor where it is lower, and returns what it is. Never lowers it: what was dropped is gone."""
    for _ in range(_ATTEMPTS):
        held = store.get(keys.watermark)
        if int(held or 0) >= watermark or store.compare_and_set(keys.watermark, held, str(watermark).encode()):
            return max(watermark, int(held or 0))
    raise StoreUnavailableError("The floor of the live state is changed by others all the time.")
