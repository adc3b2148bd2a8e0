"""The retention watermark: live state goes back to the cut of the oldest version that can be activated."""

from collections.abc import Iterable

from models.errors import StoreUnavailableError
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.version.manifest import Manifest

_ATTEMPTS = 10


def watermark_of(manifests: Iterable[Manifest]) -> int:
    """The earliest cut of these versions, microseconds; 0 if there are none.

    `manifests` are of all versions that can be activated, on any host: each needs the live state after its cut.
    """
    return min((manifest.cut_us for manifest in manifests), default=0)


async def read_watermark(store: AsyncStore, keys: Keys) -> int:
    """The watermark, up to which writers drop live state; 0 if there is none."""
    return int(await store.get(keys.watermark) or 0)


def read_watermark_blocking(store: SyncStore, keys: Keys) -> int:
    """The same for the worker and the commands. A version with an earlier cut cannot be activated."""
    return int(store.get(keys.watermark) or 0)


def raise_watermark(store: SyncStore, keys: Keys, watermark: int) -> int:
    """Raises the watermark if it is lower, and returns it. It is never lowered: older live state was dropped."""
    for _ in range(_ATTEMPTS):
        stored = store.get(keys.watermark)
        if int(stored or 0) >= watermark or store.compare_and_set(keys.watermark, stored, str(watermark).encode()):
            return max(watermark, int(stored or 0))
    raise StoreUnavailableError("Concurrent writes keep changing the watermark of the live state.")
