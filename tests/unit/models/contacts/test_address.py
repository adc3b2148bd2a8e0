"""The recipe by which an address becomes a hash, and the keyed hash that is kept."""

import hashlib

import anyio
import pytest

from models.contacts.address import (
    KEPT_BYTES,
    address_hash,
    keyed,
    network_key,
    network_key_blocking,
    normalised,
)
from models.errors import StoreUnavailableError, UsageError
from models.store.keys import Keys
from tests.support.memory_store import AsyncMemoryStore, MemoryStore


@pytest.mark.parametrize(
    ("written", "region", "meant"),
    [
        ("Bea@Example.ORG", None, "bea@example.org"),
        ("  bea@example.org ", None, "bea@example.org"),
        ("+49 30 123-456", None, "+4930123456"),
        ("030 / 123456", "DE", "+4930123456"),
        ("0049 30 123456", "DE", "+4930123456"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("jörg@bücher.example", None, "jörg@bücher.example"),
    ],
)
def test_one_address_has_one_form_however_it_is_written(written: str, region: str | None, meant: str) -> None:
    assert normalised(written, region) == meant
    assert address_hash(written, region) == hashlib.sha256(meant.encode()).hexdigest()


@pytest.mark.parametrize(
    "written", ["", "bea", "bea@", "@example.org", "bea@example", "030 123456", "+49", "+999 1234567"]
)
def test_what_is_no_address_is_refused_by_name(written: str) -> None:
    with pytest.raises(UsageError, match=r"is not|neither|has not"):
        normalised(written)


def test_a_number_without_its_country_asks_for_one() -> None:
    with pytest.raises(UsageError, match="needs a region"):
        normalised("030 123456")


def test_what_is_kept_depends_on_the_key_and_not_on_the_case_of_digits() -> None:
    sent = address_hash("bea@example.org")
    (one,), (same,), (other,) = keyed([sent], b"k" * 32), keyed([sent.upper()], b"k" * 32), keyed([sent], b"q" * 32)
    assert len(one) == KEPT_BYTES
    assert one == same != other
    assert one != bytes.fromhex(sent)[:KEPT_BYTES]


class Forgetful(MemoryStore):
    """A store that loses what is written to it."""

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return True


def test_nothing_is_hashed_with_a_key_that_was_lost() -> None:
    keys = Keys("pymk")
    with pytest.raises(StoreUnavailableError):
        network_key_blocking(Forgetful(), keys, None)
    with pytest.raises(StoreUnavailableError):
        anyio.run(network_key, AsyncMemoryStore(Forgetful()), keys, None)
    store = MemoryStore()
    drawn = network_key_blocking(store, keys, None)
    assert drawn == anyio.run(network_key, AsyncMemoryStore(store), keys, None)
