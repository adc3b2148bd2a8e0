"""The right to change what the store holds of versions, one process at a time across hosts."""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import VersionError
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions

LEASE_S = 20.0
_RENEW_S = 4.0
_POLL_S = 0.2


class _Held(BaseModel):
    """Who holds it, as the store keeps it."""

    model_config = ConfigDict(frozen=True)

    home: str
    token: str
    until: float
    """epoch seconds; a holder that died is followed after this"""


class Lease:
    """A lease being held: call `renew` at least every few seconds while at work."""

    def __init__(self, store: SyncStore, key: str, home: str) -> None:
        self._store = store
        self._key = key
        self._home = home
        self._token = secrets.token_hex(8)
        self._value: bytes | None = None
        self._renewed = 0.0

    def take(self) -> bool:
        """Takes the lease where it is free, out of date, or left by a dead process of the same home."""
        current = self._store.get(self._key)
        if current:
            try:
                held = _Held.model_validate_json(current)
            except ValidationError:  # not ours to keep alive
                held = _Held(home="", token="", until=0.0)
            if held.until > time.time() and held.home != self._home:
                return False
        return self._write(current)

    def renew(self) -> None:
        """Holds on to the lease. Raises VersionError where another process took it over."""
        if time.monotonic() - self._renewed >= _RENEW_S and not self._write(self._value):
            raise VersionError("another host has begun to switch versions in this store; nothing was activated here")

    def release(self) -> None:
        """Lets the next one have it."""
        self._store.compare_and_set(self._key, self._value, b"")

    def _write(self, expected: bytes | None) -> bool:
        value = orjson.dumps({"home": self._home, "token": self._token, "until": time.time() + LEASE_S})
        if not self._store.compare_and_set(self._key, expected, value):
            return False
        self._value, self._renewed = value, time.monotonic()
        return True


@contextmanager
def switching(store: SyncStore, versions: Versions, keys: Keys, wait_s: float = 60.0) -> Iterator[Lease]:
    """Excludes every other process of this home, and every host on this store, from publishing and activating.

    The file lock goes with the process that held it, so a lease that names this home can only be a dead one's.
    Raises VersionError where another is still at it after `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    with versions.switching(wait_s):
        lease = Lease(store, keys.lease, f"{socket.gethostname()}:{versions.home.resolve()}")
        while not lease.take():
            if time.monotonic() > deadline:
                raise VersionError("another host is switching versions in this store; try again when it is done")
            time.sleep(_POLL_S)
        try:
            yield lease
        finally:
            lease.release()
