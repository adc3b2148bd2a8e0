"""Which strings are user ids, and what is wrong with the others."""

import pytest

from models.schema.columns import user_id_fault


@pytest.mark.parametrize("user_id", ["a", "...", "a b", "a/b", "é" * 64, "😀", "\u00a0"])
def test_user_ids(user_id: str) -> None:
    assert user_id_fault(user_id) is None


@pytest.mark.parametrize(
    ("user_id", "fault"),
    [
        ("", "is empty"),
        (".", "cannot be a user id: URLs drop it from a path"),
        ("..", "cannot be a user id: URLs drop it from a path"),
        ("a\x7f", "contains a control character"),
        ("\ud800", "is not valid Unicode"),
        ("é" * 65, "has 130 bytes; a user id has at most 128"),
    ],
)
def test_faults_of_user_ids(user_id: str, fault: str) -> None:
    assert user_id_fault(user_id) == fault
