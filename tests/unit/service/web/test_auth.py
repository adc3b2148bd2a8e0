"""Keys: how they are written down, and what a wrong one comes to."""

from http import HTTPStatus

import pytest
from pydantic import ValidationError

from models.settings import Settings
from service.web.auth import Access
from service.web.problems import ProblemError


def test_keys_are_read_from_one_line() -> None:
    keys = Settings(keys="a:b:read, other:write+admin").keys  # type: ignore[arg-type]
    assert {key.get_secret_value(): set(scopes) for key, scopes in keys.items()} == {
        "a:b": {"read"},
        "other": {"write", "admin"},
    }
    assert Settings(keys="").keys == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3cret", "key 1 of 1 is not of the form"),
        ("a:read,s3cret:", "key 2 of 2 is not of the form"),
        (":read", "key 1 of 1 is not of the form"),
        ("a:read,,b:read", "key 2 of 3 is not of the form"),
        ("read:s3cret", "key 1 of 1 has a scope that does not exist"),
        ("s3cret:read+", "key 1 of 1 has a scope that does not exist"),
        ("s3 cret:read", "a character that no HTTP header can carry"),
        ("s3crét:read", "a character that no HTTP header can carry"),
        ("s3cret:read,s3cret:admin", "key 2 of 2 occurs twice"),
    ],
)
def test_a_malformed_line_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Settings(keys=text)  # type: ignore[arg-type]
    assert "s3" not in str(refused.value)


ACCESS = Access(Settings(keys="reader:read,writer:write+read").keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", [None, b"", b"Bearer ", b"Basic reader", b"reader", b"Bearer reade", b"Bearer \xff"])
def test_no_key_or_a_wrong_one_is_a_401(header: bytes | None) -> None:
    with pytest.raises(ProblemError) as refused:
        ACCESS.check(header, "read")
    assert refused.value.status is HTTPStatus.UNAUTHORIZED
    assert "WWW-Authenticate" in refused.value.headers


def test_a_key_without_the_scope_is_a_403() -> None:
    ACCESS.check(b"Bearer writer", "write")
    with pytest.raises(ProblemError, match="lacks the scope write; it has read") as refused:
        ACCESS.check(b"Bearer reader", "write")
    assert refused.value.status is HTTPStatus.FORBIDDEN


def test_without_keys_everybody_may() -> None:
    open_to_all = Access({})
    assert open_to_all.is_open
    open_to_all.check(None, "admin")
