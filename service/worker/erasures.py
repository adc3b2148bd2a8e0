"""The worker's part in erasing people, in a thread of its own: it reads all live records, which takes a while."""

import threading
from collections.abc import Callable

import structlog

from models.erasure.purge import purge_once
from models.errors import PymkError
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions

EVERY_S = 1.0
"""how often it is looked whether somebody is to be erased"""
AGAIN_S = 5.0
"""the same where somebody is, and cannot be yet"""


class ErasureWorker:
    """Takes erasures further, from `run` to the stop event. One worker at a time, whichever holds the first shard."""

    def __init__(self, store: SyncStore, keys: Keys, versions: Versions, mine: Callable[[], bool]) -> None:
        self._store, self._keys, self._versions, self._mine = store, keys, versions, mine

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event."""
        pause_s = EVERY_S
        while not stop.wait(pause_s):
            pause_s = AGAIN_S if self.run_once() else EVERY_S

    def run_once(self) -> bool:
        """One look; whether somebody has to wait."""
        try:
            return self._mine() and purge_once(self._store, self._keys, self._versions) > 0
        except (PymkError, OSError) as error:
            structlog.get_logger().warning("erasures_wait", error=str(error))
            return True
        except Exception as error:  # the next turn must find the thread alive
            structlog.get_logger().error("erasures_wait", exc_info=error)
            return True
