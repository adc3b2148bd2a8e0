"""Which index is built where it is searched only once."""

import pytest

from models.candidates.config import IndexConfig
from offline.night.candidates import index_for_once


@pytest.mark.parametrize(
    ("users", "viewers", "is_flat"), [(19_999, 10, False), (20_000, 4_000, True), (20_000, 4_001, False)]
)
def test_few_of_many_users_are_compared_with_everybody(users: int, viewers: int, is_flat: bool) -> None:
    chosen = index_for_once(IndexConfig(), users, viewers)
    assert (users < chosen.flat_below) == is_flat
    assert chosen.model_copy(update={"flat_below": IndexConfig().flat_below}) == IndexConfig()
