"""Up to when every list that was given out is filed or lost, for erasures."""

from models.outcomes.exposure_files import DIRECTORY
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import MICROSECONDS
from models.system.stream_position import order
from models.version.local_versions import Versions

LATEST_S = 5.0
"""a list is in the exposure log at most so long after it was given out: the longest write after OLDEST_S of
service.recommend.behind.exposure_log"""


def settled_us(store: SyncStore, keys: Keys) -> int:
    """Lists given out before this time, microseconds, are not in the exposure log any more, and will not come."""
    entries = store.stream_read(keys.exposure_log, STREAM_START, 1)
    oldest = order(entries[0][0])[0] * 1000 if entries else store.clock_us()
    return oldest - round(LATEST_S * MICROSECONDS)


def has_exposures(store: SyncStore, keys: Keys, versions: Versions) -> bool:
    """Whether any list was ever recorded here."""
    return (versions.home / DIRECTORY).is_dir() or store.stream_length(keys.exposure_log) > 0
