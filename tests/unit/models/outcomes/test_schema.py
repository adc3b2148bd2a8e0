"""The columns that other programs read by name."""

from models.outcomes.schema import EXPOSURE_COLUMNS, FEATURES, OUTCOME_COLUMNS, OUTCOMES
from models.schema.pair_features import PAIR_FEATURES

CONTRACT = [
    "request_id",
    "at",
    "version",
    "context",
    "arms",
    "viewer",
    "candidate",
    "position",
    "score",
    "propensity",
    "clicked",
    "invited",
    "accepted",
    "declined",
    "dismissed",
    "blocked",
    "reported",
]


def test_the_table_of_outcomes_has_the_columns_that_others_rely_on() -> None:
    assert set(CONTRACT) <= set(OUTCOME_COLUMNS)
    assert set(FEATURES) <= set(OUTCOME_COLUMNS)


def test_every_feature_has_one_column() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert set(PAIR_FEATURES) <= set(FEATURES)
    assert not set(FEATURES) & {*OUTCOMES, *CONTRACT}
    assert list(OUTCOME_COLUMNS)[: len(EXPOSURE_COLUMNS)] == list(EXPOSURE_COLUMNS)
