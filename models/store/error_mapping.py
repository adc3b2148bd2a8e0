"""The errors of the client library as errors of the product."""

from collections.abc import Callable
from dataclasses import dataclass

import redis.exceptions as client

from models.errors import StoreError, StoreRefusedError, StoreUnavailableError
from models.store.failover.primary import NotPrimaryError

CLIENT_ERRORS = (client.RedisError, client.RedisClusterException, OSError)
"""everything that a call can raise; the TimeoutError of a deadline is an OSError"""

DEMOTED = (client.ReadOnlyError, client.MasterDownError, client.MovedError, client.BusyLoadingError)
"""what a server answers that is not the primary of its keys any more, or not yet"""
NOT_PRIMARY = "The store is no primary at the moment."
NO_WRITES = "The store refuses writes at the moment; it answers reads."
TEMPORARY = (client.ClusterDownError, client.TryAgainError, client.BusyLoadingError)
DENIED = (client.AuthenticationError, client.AuthorizationError)
REFUSED = (client.ResponseError, client.DataError)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """The name of a store in the messages of its errors."""

    name: str
    """without a password"""
    diagnosis: Callable[[], str | None] = lambda: None
    """a sentence on what is wrong with the server, if known; called when a connection fails"""

    refusal: str | None = None
    """why the server refuses a write that it says it has too few replicas for, if known"""

    def failure(self, error: Exception) -> StoreError:
        """The error to raise instead of one of CLIENT_ERRORS; its `public_message` does not contain the address."""
        if isinstance(error, (NotPrimaryError, client.ReadOnlyError, client.MasterDownError)) or _is_demotion(error):
            return StoreUnavailableError(f"{self.name} is no primary: {error}.", NOT_PRIMARY)
        if isinstance(error, client.MovedError):
            message = f"{self.name} says that another node has this key. Is it a cluster? Set PYMK_REDIS_CLUSTER=true."
            return StoreUnavailableError(message, "The store does not answer for this key.")
        if isinstance(error, DENIED):
            message = f"{self.name} denies access: {error}. Check user and password in PYMK_REDIS_URL."
            return StoreRefusedError(message, "The store denies access.")
        if isinstance(error, client.ResponseError) and str(error).startswith("NOREPLICAS"):
            # a setting of the operator's own servers; the supervisor of the embedded store uses it on a full disk
            return StoreRefusedError(f"{self.name} refuses writes: {self.refusal or error}", NO_WRITES)
        if isinstance(error, REFUSED) and not isinstance(error, TEMPORARY):
            return StoreRefusedError(f"{self.name} refuses: {error}.", "The store refuses.")
        if isinstance(error, (TimeoutError, client.TimeoutError)):
            return StoreUnavailableError(f"{self.name} does not answer in time.", "The store does not answer in time.")
        message = f"{self.name} does not answer: {str(error).rstrip('.')}."
        return StoreUnavailableError(" ".join(filter(None, (message, self.diagnosis()))), "The store does not answer.")


def _is_demotion(error: Exception) -> bool:
    """Whether a server says that it became a replica while it waited for replicas, or before."""
    said = str(error)
    return isinstance(error, client.ResponseError) and (
        said.startswith("UNBLOCKED") or ("WAITAOF" in said and "replica" in said)
    )
