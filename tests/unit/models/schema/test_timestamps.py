"""Moments in JSON bodies: one reading, and nothing guessed."""

from datetime import UTC, datetime

import pytest

from models.schema.timestamps import TimestampFaultError, timestamp_us

MOMENT = int(datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        float(MOMENT),
        str(MOMENT),
        "2026-11-21T09:00:00Z",
        "2026-11-21t09:00:00z",
        "2026-11-21 09:00",
        "2026-11-21T10:00:00.000+01:00",
        "20261121T090000Z",
        " 2026-W47-6T09:00Z ",
    ],
)
def test_the_same_moment_in_its_forms(value: object) -> None:
    assert timestamp_us(value) == MOMENT * 1_000_000


def test_fractions_of_a_second() -> None:
    assert timestamp_us("2026-11-21T09:00:00.000001Z") == MOMENT * 1_000_000 + 1
    assert timestamp_us(MOMENT + 0.25) == MOMENT * 1_000_000 + 250_000
    assert timestamp_us(-1) == -1_000_000
    assert timestamp_us("0001-01-01") < 0


@pytest.mark.parametrize(
    "value",
    [
        MOMENT * 1000,
        str(MOMENT * 1000),
        MOMENT * 1_000_000,
        "17101123123450",
        "20261121",
        "202611210900",
        "20261121090000",
        "2026-11-21x09:00",
        "2026-13-01",
        "yesterday",
        "",
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        10**400,
    ],
)
def test_what_may_be_misread_is_refused(value: object) -> None:
    with pytest.raises(TimestampFaultError):
        timestamp_us(value)
