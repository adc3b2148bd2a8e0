"""Authorisation: keys with scopes."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus

from pydantic import SecretStr

from service.web.problems import ProblemError

READ, WRITE, ADMIN = "read", "write", "admin"

_BEARER = b"bearer "
_CHALLENGE = 'Bearer realm="pymk"'


class Access:
    """Checks the Authorization header of a request against the keys of the settings.

    Keys are held and compared as SHA-256 digests, each in constant time, and all of them every time, so that the time
    of an answer does not reveal a key. Without keys every caller has every scope; `pymk serve` then binds to the
    loopback address only.
    """

    def __init__(self, keys: Mapping[SecretStr, frozenset[str]]) -> None:
        self._scopes = [(sha256(key.get_secret_value().encode()).digest(), scopes) for key, scopes in keys.items()]

    @property
    def is_open(self) -> bool:
        """Whether no key is required."""
        return not self._scopes

    def check(self, authorization: bytes | None, scope: str) -> None:
        """Returns if the key of the header has the scope.

        Raises ProblemError: 401 for no key or a wrong one, 403 for one without the scope.
        """
        if not self._scopes:
            return
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "a key is needed: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        presented = sha256(authorization[len(_BEARER) :].strip()).digest()
        granted: frozenset[str] | None = None
        for digest, scopes in self._scopes:
            if hmac.compare_digest(digest, presented):
                granted = scopes
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
