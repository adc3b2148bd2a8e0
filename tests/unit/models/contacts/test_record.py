"""The packed record of a user's contacts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contacts.record import ContactRecord, readable
from models.errors import CorruptRecordError

ADDRESSES = st.frozensets(st.binary(min_size=16, max_size=16), max_size=8)


@given(st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 2**31), ADDRESSES, ADDRESSES)
def test_a_record_reads_back(at: int, since: int, tested: int, own: frozenset[bytes], held: frozenset[bytes]) -> None:
    record = ContactRecord(at, since, tested, own, held)
    assert ContactRecord.unpack(record.pack()) == record


def test_no_record_is_no_contacts_and_a_damaged_one_is_matched_anew() -> None:
    packed = ContactRecord(5, contacts=frozenset({b"a" * 16})).pack()
    assert ContactRecord.unpack(None) == ContactRecord()
    for damaged in (packed[:-1], packed[:30] + b"b" + packed[31:], b"\x02" + packed[1:]):
        with pytest.raises(CorruptRecordError):
            ContactRecord.unpack(damaged)
        assert readable(damaged) == ContactRecord()
