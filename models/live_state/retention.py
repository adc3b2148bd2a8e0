"""The retention watermark: live state goes back to the cut of the oldest version that can be activated."""

from collections.abc import Iterable

from models.errors import StoreUnavailableError
from models.store.decimals import decimal, read_decimal
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.manifest import Manifest

_ATTEMPTS = 10


def watermark_of(manifests: Iterable[Manifest]) -> int:
    """The earliest cut of these versions, microseconds; 0 if there are none.

    `manifests` are of all versions that can be activated, on any host: each needs the live state after its cut.
    """
    return min((manifest.cut_us for manifest in manifests), default=0)


def read_watermark_blocking(store: SyncStore, keys: Keys) -> int:
    """The watermark; 0 if there is none. A version with an earlier cut cannot be activated.

    Raises CorruptRecordError if it does not read back.
    """
    return decimal(keys.watermark, store.get(keys.watermark))


def raise_watermark(store: SyncStore, keys: Keys, watermark: int) -> int:
    """Raises the watermark if it is lower, and returns it. It is never lowered: older live state was dropped.

    One that does not read back is replaced: `watermark` is of all versions that can be activated.
    """
    for _ in range(_ATTEMPTS):
        stored = store.get(keys.watermark)
        known = read_decimal(stored or b"0")
        if known is not None and known >= watermark:
            return known
        if store.compare_and_set(keys.watermark, stored, str(watermark).encode()):
            return watermark
    raise StoreUnavailableError("Concurrent writes keep changing the watermark of the live state.")
