"""The packed table of people who were hardly shown."""

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.live_state.seldom_shown import SeldomShown

DIGEST = "ab" * 32


@pytest.mark.parametrize("n", [0, 1, 8, 1003])
def test_it_reads_back(n: int) -> None:
    rows = np.arange(n) % 3 == 0
    again = SeldomShown.unpack(SeldomShown(DIGEST, rows).pack())
    assert again.vocabulary == DIGEST
    assert again.rows.tolist() == rows.tolist()


def test_no_record_is_no_table() -> None:
    assert (SeldomShown.unpack(None).vocabulary, len(SeldomShown.unpack(None).rows)) == ("", 0)


def test_whatever_is_altered_is_refused() -> None:
    packed = SeldomShown(DIGEST, np.ones(9, dtype=np.bool_)).pack()
    for at in range(len(packed)):
        with pytest.raises(CorruptRecordError):
            SeldomShown.unpack(packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :])
