"""The version that each live process serves."""

import time

from models.store.keys import Keys
from models.store.protocol import SyncStore

TTL_S = 10.0
"""a process that has not reported for so long counts as dead; each reports its version id, or b"" for none"""

WAIT_S = 5.0
"""how long a switch waits for the processes to serve the version"""

_POLL_S = 0.05


def served(store: SyncStore, *, keys: Keys) -> dict[str, str]:
    """The version id that each live process serves, by the process's name; "" if it serves none."""
    names = sorted(set(store.scan(keys.processes)))
    values = zip(names, store.get_many(names), strict=True) if names else ()
    return {name.removeprefix(keys.processes): value.decode() for name, value in values if value is not None}


def wait_until_served(store: SyncStore, version: str, *, keys: Keys, wait_s: float = WAIT_S) -> dict[str, str]:
    """Waits until all live processes serve the version; after `wait_s` seconds returns the others' versions."""
    deadline = time.monotonic() + wait_s
    while True:
        others = {name: current for name, current in served(store, keys=keys).items() if current != version}
        if not others or time.monotonic() >= deadline:
            return others
        time.sleep(_POLL_S)
