"""Random Parquet files hold for the product what they hold for pyarrow and the strict rules, or both refuse them.

`python -m tests.support.offline.parquet_tables` compares tens of thousands.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.offline.parquet_tables import difference


@given(seed=st.integers(10**6, 10**9))
@settings(max_examples=200, deadline=None)
def test_a_random_file_is_read_as_pyarrow_reads_it_or_refused(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    assert difference(seed, tmp_path_factory.getbasetemp()) in ("same", "refused")
