"""What of a table of outcomes is learned from: people whom the ranker read, and nobody who was erased since."""

import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.live_state.erased_ids import ErasedPeople
from models.outcomes.schema import OUTCOME_COLUMNS
from models.schema.pair_features import PAIR_FEATURES, extra_input_names
from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from offline.ranker.outcome_heads.examination import examination_of
from offline.ranker.outcome_heads.table import outcome_table

AT = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
AT_US = int(AT.timestamp()) * 10**6
WIDTH = len(STATISTICS)
CODES = bytes(range(0, 250, 250 // len(PAIR_FEATURES)))[: len(PAIR_FEATURES)]
NOBODY = ErasedPeople.nobody()


def shown(*people: dict[str, Any]) -> pl.DataFrame:
    """A table of outcomes of these people, each shown to ann in a list of its own unless it says otherwise."""
    read = [*PAIR_FEATURES, *extra_input_names(WIDTH), *(f"viewer_{name}" for name in ALL_STATISTICS[:WIDTH])]
    plain: dict[str, Any] = {
        **{name: float(at) for at, name in enumerate(read)},
        **dict.fromkeys(("clicked", "invited", "accepted", "declined", "dismissed", "blocked", "reported"), False),
        "at": AT,
        "context": "web",
        "viewer": "ann",
        "candidate": "bea",
        "position": 1,
        "offset": 0,
        "draw": "none",
        "propensity": 1.0,
        "codes": CODES,
    }
    rows = [{**plain, "request_id": f"r{at}", **person} for at, person in enumerate(people)]
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in OUTCOME_COLUMNS.items() if name not in rows[0]]
    frame = pl.DataFrame(rows, schema={name: OUTCOME_COLUMNS[name] for name in rows[0]})
    return frame.with_columns(missing).select(OUTCOME_COLUMNS.names())


def test_inputs_are_those_of_the_ranker_in_its_order() -> None:
    table = outcome_table(shown({}), NOBODY, WIDTH)
    kept, extra = len(PAIR_FEATURES), len(extra_input_names(WIDTH))
    expected = np.concatenate([np.arange(kept), np.frombuffer(CODES, np.uint8) / 255, kept + np.arange(extra + WIDTH)])
    np.testing.assert_allclose(table.inputs, expected[None], rtol=1e-6)


def test_outcomes_places_and_contexts() -> None:
    table = outcome_table(
        shown(
            {"invited": True, "accepted": True, "position": 3},
            {"blocked": True, "context": "email", "offset": 20, "viewer": "cid"},
            {"clicked": True, "draw": "uniform", "propensity": 0.1},
            {"reported": True, "request_id": "r0"},
            {"position": 9, "offset": None},
        ),
        NOBODY,
        WIDTH,
    )
    assert table.invited.tolist() == [True, False, False, False, False]
    assert table.accepted.tolist() == [True, False, False, False, False]
    assert table.dismissed.tolist() == [False, True, False, True, False]
    assert table.acted.tolist() == [True, True, True, True, False]
    assert table.places.tolist() == [3, 21, 1, 1, 9]
    assert [table.context_names[at] for at in table.contexts] == ["web", "email", "web", "web", "web"]
    assert table.is_uniform.tolist() == [False, False, True, False, False]
    assert table.lists[0] == table.lists[3] != table.lists[2]
    assert len(set(table.viewers)) == 2


def test_whom_the_ranker_did_not_read_is_left_out() -> None:
    cold = {"codes": None, "pagerank": None}
    other = {"codes": CODES[:-1]}
    broken = {"pagerank": float("nan")}
    assert len(outcome_table(shown({}, cold, other, broken), NOBODY, WIDTH)) == 1
    assert len(outcome_table(shown({}), NOBODY, len(ALL_STATISTICS))) == 0, "of a version without dates"
    assert len(outcome_table(shown({}).clear(), NOBODY, WIDTH)) == 0


def test_who_was_erased_is_left_out_as_viewer_and_as_candidate() -> None:
    rows = shown({"candidate": "bea"}, {"viewer": "eve"}, {"candidate": "eve"}, {"candidate": "eve", "at": AT})
    later = ErasedPeople(b"key", {}).joined({"eve": AT_US + 1})
    assert len(outcome_table(rows, later, WIDTH)) == 1
    before = ErasedPeople(b"key", {}).joined({"eve": AT_US - 1})
    assert len(outcome_table(rows, before, WIDTH)) == 4, "a new person of the same id"
    nobody = ErasedPeople(b"key", {}).joined({"gus": AT_US + 1})
    assert len(outcome_table(rows, nobody, WIDTH)) == 4


def test_people_of_uniform_lists_who_were_not_drawn_say_nothing_of_places() -> None:
    """Lists of 20 whose best 10 were drawn: whoever stands after them is worse, and not only looked at less."""
    lists, best, length = 4000, 10, 20
    random, places = np.random.default_rng(0), np.tile(np.arange(1, length + 1), lists)
    acted = random.random(len(places)) < np.where(places <= best, 0.2, 0.05) * places**-0.7
    one = shown({"draw": "uniform"})
    frame = one[np.zeros(len(places), int).tolist()].with_columns(
        request_id=pl.Series([f"r{at}" for at in range(lists) for _ in range(length)]),
        position=pl.Series(places, dtype=pl.UInt16),
        clicked=pl.Series(acted),
        propensity=pl.Series(np.where(places <= best, 1 / best, 1.0), dtype=pl.Float32),
    )
    table = outcome_table(frame, NOBODY, WIDTH)
    drawn = table.is_uniform
    assert drawn.sum() == lists * best
    found = examination_of(table.acted[drawn], table.places[drawn], None, table.weights[drawn])
    assert found.eta == pytest.approx(0.7, abs=0.07)
    assert examination_of(table.acted, table.places, None, table.weights).eta > 0.9


@pytest.mark.parametrize("by_mail", [0.1, 0.4])
def test_contexts_with_other_lengths_and_rates_say_nothing_of_places(by_mail: float) -> None:
    """Short lists by mail, of which more or fewer are acted on, beside long ones on the web; all were drawn."""
    random, lists = np.random.default_rng(0), 4000
    places = np.concatenate([np.tile(np.arange(1, length + 1), lists) for length in (3, 20)])
    is_mail = np.arange(len(places)) < 3 * lists
    acted = random.random(len(places)) < np.where(is_mail, by_mail, 0.1) * places**-0.5
    number = np.concatenate([np.repeat(np.arange(lists), 3), lists + np.repeat(np.arange(lists), 20)])
    frame = shown({"draw": "uniform"})[np.zeros(len(places), int).tolist()].with_columns(
        request_id=pl.Series([f"r{at}" for at in number]),
        context=pl.Series(np.where(is_mail, "email", "web")),
        position=pl.Series(places, dtype=pl.UInt16),
        clicked=pl.Series(acted),
        propensity=pl.lit(0.05, pl.Float32),
    )
    table = outcome_table(frame, NOBODY, WIDTH)
    of_lists = table.of_lists()
    assert of_lists.shape == (len(places), 3)
    found = examination_of(table.acted, table.places, of_lists, table.weights, "uniform")
    assert (found.how, found.eta) == ("uniform", pytest.approx(0.5, abs=0.08))
    if by_mail > 0.1:
        assert examination_of(table.acted, table.places, None, table.weights).eta > 0.8
