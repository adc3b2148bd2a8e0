import pytest

from models.errors import UsageError
from models.schema.columns import check_user_id


@pytest.mark.parametrize("user_id", ["a", "...", "a b", "a/b", "é" * 64, "😀", "\u00a0"])
def test_user_ids(user_id: str) -> None:
    assert check_user_id(user_id) == user_id


@pytest.mark.parametrize(
    ("user_id", "message"),
    [
        ("", "user id '' is empty"),
        (".", "user id '.' cannot be a user id: URLs drop it from a path"),
        ("..", "user id '..' cannot be a user id: URLs drop it from a path"),
        ("a\x7f", r"user id 'a\x7f' contains a control character"),
        ("\ud800", r"user id '\ud800' is not valid Unicode"),
        ("é" * 65, f"user id '{'é' * 65}' has 130 bytes; a user id has at most 128"),
    ],
)
def test_what_is_no_user_id(user_id: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_user_id(user_id)
    assert str(raised.value) == message
