"""The worker's part in erasures, in a thread of its own: reading all live records takes a while."""

import threading
from collections.abc import Callable

from models.erasure.purge import purge_once
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from service.worker.contact import Contact
from service.worker.rounds import repeat

EVERY_S = 1.0
"""how often the store is checked for erasures"""
AGAIN_S = 5.0
"""the same while an erasure cannot be finished yet"""
PART = "erasures"


class ErasureWorker:
    """Advances erasures, from `run` to the stop event. One worker at a time, the one that holds the first shard."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        versions: Versions,
        is_mine: Callable[[], bool],
        contact: Contact | None = None,
    ) -> None:
        """`is_mine` says whether this worker holds the first shard."""
        self._store, self._keys, self._versions, self._is_mine = store, keys, versions, is_mine
        self._contact = Contact() if contact is None else contact

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event."""
        repeat(stop, self._round, self._contact, PART, "erasures_wait", every_s=EVERY_S)

    def _round(self) -> float:
        waits = self._is_mine() and purge_once(self._store, self._keys, self._versions) > 0
        return AGAIN_S if waits else EVERY_S
