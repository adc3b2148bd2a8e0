"""What the errors of the client library mean to the product."""

from collections.abc import Callable
from dataclasses import dataclass

import redis.exceptions as client

from models.errors import StoreError, StoreRefusedError, StoreUnavailableError

CLIENT_ERRORS = (client.RedisError, client.RedisClusterException, OSError)
"""everything a call can raise; a deadline that passed (TimeoutError) is an OSError"""

NOT_NOW = (client.ClusterDownError, client.TryAgainError, client.BusyLoadingError)
DENIED = (client.AuthenticationError, client.AuthorizationError)
REFUSED = (client.ResponseError, client.DataError)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Which store this is, for the messages of its errors."""

    name: str
    """without a password"""
    trouble: Callable[[], str | None] = lambda: None
    """what is known to be wrong with it, asked where a connection fails"""

    def failure(self, error: Exception) -> StoreError:
        """The error to raise instead of one of CLIENT_ERRORS; what it tells callers names no place."""
        if isinstance(error, DENIED):
            message = f"{self.name} denies access: {error}. Check user and password in PYMK_REDIS_URL."
            return StoreRefusedError(message, "The store denies access.")
        if isinstance(error, REFUSED) and not isinstance(error, NOT_NOW):
            return StoreRefusedError(f"{self.name} refuses: {error}.", "The store refuses.")
        if isinstance(error, (TimeoutError, client.TimeoutError)):
            return StoreUnavailableError(f"{self.name} does not answer in time.", "The store does not answer in time.")
        message = f"{self.name} does not answer: {str(error).rstrip('.')}."
        return StoreUnavailableError(" ".join(filter(None, (message, self.trouble()))), "The store does not answer.")
