"""The lock on the versions of a store, across hosts."""

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
from models.system.clock import MICROSECONDS
from models.version.local_versions import Versions

LEASE_S = 20.0
_RENEW_S = 4.0
_POLL_S = 0.2


class _Holder(BaseModel):
    """The holder of the lease, as stored."""

    model_config = ConfigDict(frozen=True)

    home: str
    token: str
    until: float
    """epoch seconds by the store's clock; after this another process may take it"""


class Lease:
    """A lease in the store; its holder calls `renew` every few seconds."""

    def __init__(self, store: SyncStore, key: str, home: str) -> None:
        self._store = store
        self._key = key
        self._home = home
        self._token = secrets.token_hex(8)
        self._value: bytes | None = None
        self._renewed = 0.0
        self._seen: tuple[bytes, float] | None = None
        """the lease of another holder, and since when it was not renewed"""

    def take(self) -> bool:
        """Takes the lease if it is free, expired, or of a dead process of the same home; returns whether it did.

        One that was not renewed for LEASE_S while this waited is expired, whatever the clock of its holder said.
        """
        current = self._store.get(self._key)
        if current:
            try:
                holder = _Holder.model_validate_json(current)
            except ValidationError:  # unreadable: as if expired
                holder = _Holder(home="", token="", until=0.0)
            now = time.monotonic()
            if self._seen is None or self._seen[0] != current:
                self._seen = current, now
            if holder.until > self._now_s() and holder.home != self._home and now - self._seen[1] < LEASE_S:
                return False
        return self._write(current)

    def renew(self) -> None:
        """Extends the lease. Raises VersionError if another process has taken it."""
        if time.monotonic() - self._renewed >= _RENEW_S and not self._write(self._value):
            raise VersionError("another host is switching versions in this store; nothing was activated here")

    @property
    def token(self) -> str:
        """Tells this lease from all others."""
        return self._token

    def release(self) -> None:
        """Frees the lease."""
        self._store.compare_and_set(self._key, self._value, b"")

    def _now_s(self) -> float:
        """The store's clock: that of a host may be ahead of the holder's."""
        return self._store.clock_us() / MICROSECONDS

    def _write(self, expected: bytes | None) -> bool:
        value = orjson.dumps({"home": self._home, "token": self._token, "until": self._now_s() + LEASE_S})
        if not self._store.compare_and_set(self._key, expected, value):
            return False
        self._value, self._renewed = value, time.monotonic()
        return True


def holder_of(store: SyncStore, keys: Keys) -> str | None:
    """The token of the lease that is held; None if it is free or has expired."""
    current = store.get(keys.lease)
    try:
        holder = _Holder.model_validate_json(current) if current else None
    except ValidationError:  # unreadable: as if expired
        return None
    return None if holder is None or holder.until <= store.clock_us() / MICROSECONDS else holder.token


@contextmanager
def switching(store: SyncStore, versions: Versions, keys: Keys, wait_s: float = 60.0) -> Iterator[Lease]:
    """Excludes other processes of this home and other hosts on this store from publishing and activating.

    The file lock ends with its process, so a lease with this home can only be that of a dead process.
    Raises VersionError if another process still holds it after `wait_s` seconds.
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
