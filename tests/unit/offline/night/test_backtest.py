"""Which friendships and users a backtest evaluates."""

import random
from pathlib import Path

import numpy as np
import pytest

from models.errors import DatasetError
from models.graph import Graph
from models.schema.vocabulary import Vocabulary
from offline.night.backtest import read_held_out, sample

PEOPLE = Vocabulary.from_ids(["ann", "bea", "cid", "dan"])
KNOWN = Graph.from_pairs(4, [0], [1])


def held_out(tmp_path: Path, *pairs: str) -> Path:
    path = tmp_path / "held_out.csv"
    path.write_text("\n".join(["user_id,other_id", *pairs]) + "\n", encoding="utf-8")
    return path


def test_known_friendships_and_unknown_people_are_not_looked_for(tmp_path: Path) -> None:
    hidden = read_held_out(held_out(tmp_path, "bea,ann", "dan,cid", "cid,dan", "ann,zoe", "cid,cid"), PEOPLE, KNOWN)
    assert [side.tolist() for side in hidden.pairs()] == [[2], [3]]


@pytest.mark.parametrize("pair", ["ann,bea", "ann,zoe", "cid,cid"])
def test_a_file_with_nothing_to_find_is_refused_by_name(tmp_path: Path, pair: str) -> None:
    with pytest.raises(DatasetError, match=r"held_out\.csv holds no friendship"):
        read_held_out(held_out(tmp_path, pair), PEOPLE, KNOWN)


def test_a_file_that_is_no_table_of_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "held_out.csv"
    path.write_text("user_id,friend\nann,bea\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="other_id"):
        read_held_out(path, PEOPLE, KNOWN)
    with pytest.raises(DatasetError, match="not a file"):
        read_held_out(tmp_path / "nothing.csv", PEOPLE, KNOWN)


def test_people_are_drawn_as_any_other_program_would_draw_them() -> None:
    rows = np.arange(10, 60)
    assert sample(rows, 50).tolist() == rows.tolist()
    assert sample(rows, 7).tolist() == sorted(random.Random(0).sample(list(range(10, 60)), 7))
