"""How much of an exposure log a night reads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.schema import EXPOSURE_COLUMNS
from models.outcomes.viewer_sample import EVERYBODY
from models.system import memory_budget
from offline.night.outcomes.viewers_read import viewers_read

AT = datetime(2026, 11, 10, tzinfo=UTC)
GIGABYTE = 1 << 30


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A million people shown."""
    at = pl.lit(AT).dt.cast_time_unit("us")
    frame = pl.DataFrame({"viewer": ["ann"]}).select(pl.col("viewer").repeat_by(1_000_000).explode(), at=at)
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items() if name not in frame.columns]
    files, first = ExposureFiles(tmp_path), round(AT.timestamp() * 1000)
    with files.locked():
        files.write(frame.with_columns(missing).select(EXPOSURE_COLUMNS.names()), f"{first}-0", f"{first}-9")
    return tmp_path


def test_all_of_it_or_as_much_as_the_configuration_allows(home: Path) -> None:
    assert viewers_read(home, 0, 1_000_000) == EVERYBODY
    assert viewers_read(home, 0, 400_000).share == pytest.approx(0.4)
    later = round((AT + timedelta(days=3)).timestamp() * 1e6)
    assert viewers_read(home, later, 1000) == EVERYBODY, "none of it is of that time"


def test_no_more_than_fits_into_the_memory_of_the_night(home: Path) -> None:
    memory_budget.limit(2 * GIGABYTE)
    try:
        share = viewers_read(home, 0, 1_000_000).share
    finally:
        memory_budget.limit(None)
    assert 0.1 * GIGABYTE < share * 1_000_000 * 1000 < 0.5 * GIGABYTE
