"""Timestamps in JSON values: one reading, and nothing guessed."""

from datetime import UTC, datetime

import pytest

from models.schema.timestamps import TimestampFaultError, timestamp_fault, timestamp_us

MOMENT = int(datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("value", [MOMENT, float(MOMENT), MOMENT * 10**3, MOMENT * 10**6, MOMENT * 10**9])
def test_a_number_says_its_unit_by_its_size(value: float) -> None:
    assert timestamp_us(value) == timestamp_us(str(value)) == MOMENT * 1_000_000


def test_fractions_of_a_second() -> None:
    assert timestamp_us("2026-11-21T09:00:00.000001Z") == MOMENT * 1_000_000 + 1
    assert timestamp_us("20261121T090000,5") == MOMENT * 1_000_000 + 500_000
    assert timestamp_us(MOMENT + 0.25) == timestamp_us(f"{MOMENT}.25") == MOMENT * 1_000_000 + 250_000
    assert timestamp_us(MOMENT * 1000 + 7) == MOMENT * 1_000_000 + 7000
    assert timestamp_us(-1) == -1_000_000
    assert timestamp_us("0001-01-01") < 0


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf"), 10**400, -(10**400), "9" * 5000])
def test_what_is_no_timestamp_is_refused(value: object) -> None:
    with pytest.raises(TimestampFaultError, match="must be ISO 8601 or epoch seconds"):
        timestamp_us(value)
    assert timestamp_fault(value) == "is not a timestamp (ISO 8601 or epoch seconds)"


def test_a_refusal_says_why_nothing_was_guessed() -> None:
    assert timestamp_fault("2024") == "may be a year or a number of seconds; write a date like 2024-01-31"
    with pytest.raises(TimestampFaultError, match=r"^2024 may be a year or a number of seconds"):
        timestamp_us(2024)
