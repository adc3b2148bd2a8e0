"""Which version each live process serves."""

import time

from models.store.keys import Keys
from models.store.protocol import SyncStore

TTL_S = 10.0
"""a process that has not reported for so long counts as gone; each reports its version id, b"" for none, well within"""

WAIT_S = 5.0
"""how long a switch waits for the processes to follow"""

_POLL_S = 0.05


def served(store: SyncStore, *, keys: Keys) -> dict[str, str]:
    """The version id that each live process serves, by the process's name; "" where it serves none."""
    names = sorted(set(store.scan(keys.processes)))
    values = zip(names, store.get_many(names), strict=True) if names else ()
    return {name.removeprefix(keys.processes): value.decode() for name, value in values if value is not None}


def wait_until_served(store: SyncStore, version: str, *, keys: Keys, wait_s: float = WAIT_S) -> dict[str, str]:
    """Returns once every live process serves the version, or after `wait_s` seconds what those serve that do not."""
    deadline = time.monotonic() + wait_s
    while True:
        behind = {name: other for name, other in served(store, keys=keys).items() if other != version}
        if not behind or time.monotonic() >= deadline:
            return behind
        time.sleep(_POLL_S)
