"""Authorisation: keys with scopes."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus

from pydantic import SecretStr

from service.web.problems import ProblemError
from service.web.rate_limits import RateLimiter
from service.web.record import Record

READ, WRITE, ADMIN = "read", "write", "admin"

NAME_BYTES = 4
"""of a key's digest in its name"""
_BEARER = b"bearer "
_CHALLENGE = 'Bearer realm="pymk"'


class Access:
    """Admits requests: checks the Authorization header of a request against the keys of the settings.

    Keys are held and compared as SHA-256 digests, each in constant time, and all of them every time, so that the time
    of an answer does not reveal a key. Without keys every caller has every scope; `pymk serve` then binds to the
    loopback address only. A key's name, in logs and for limits of rate, is the beginning of its digest.
    """

    def __init__(self, keys: Mapping[SecretStr, frozenset[str]], limiter: RateLimiter | None = None) -> None:
        digests = ((sha256(key.get_secret_value().encode()).digest(), scopes) for key, scopes in keys.items())
        self._scopes = [(digest, scopes, digest[:NAME_BYTES].hex()) for digest, scopes in digests]
        self._limiter = limiter

    @property
    def is_open(self) -> bool:
        """Whether no key is required."""
        return not self._scopes

    async def admit(self, record: Record, scope: str) -> None:
        """Returns if the caller of a request may use the scope now; a request is admitted, and counted, once.

        Raises ProblemError: 401 and 403 as `check`, 429 for more requests than PYMK_RATE_LIMITS allows.
        """
        if record.admitted != scope:
            record.key = self.check(record.headers.get(b"authorization"), scope)
            if self._limiter is not None:
                await self._limiter.take(record, scope)
            record.admitted = scope

    @property
    def is_limited(self) -> bool:
        """Whether `admit` may count requests."""
        return self._limiter is not None

    def check(self, authorization: bytes | None, scope: str) -> str | None:
        """Returns the name of the header's key if it has the scope, None if no key is required.

        Raises ProblemError: 401 for no key or a wrong one, 403 for one without the scope.
        """
        if not self._scopes:
            return None
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "a key is needed: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        presented = sha256(authorization[len(_BEARER) :].strip()).digest()
        granted: frozenset[str] | None = None
        named = None
        for digest, scopes, name in self._scopes:
            if hmac.compare_digest(digest, presented):
                granted, named = scopes, name
        if granted is None:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "the key is not known",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            )
        if scope not in granted:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                f"the key lacks the scope {scope}; it has {', '.join(sorted(granted))}",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
            )
        return named
