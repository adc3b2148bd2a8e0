"""The table of contacts of a dataset: what is read, what is refused, and what reaches the store."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import polars as pl
import pytest

from models.contacts.address import keyed
from models.contacts.matching import Matcher
from models.contacts.record import ContactRecord
from models.errors import DatasetError
from models.event_log.write_profile import write_erasure
from models.live_state.user_record import LiveRecord
from models.schema.vocabulary import UserId
from models.store.keys import SHARDS, Keys
from models.store.transaction import Commit, Outcome
from models.system.clock import now_us
from offline.contacts.uploads import load_uploads, read_uploads
from offline.synth.address_books import address_of, contacts
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("pymk")


class EraseBeforeCommit(MemoryStore):
    """A store in which ann is erased just before the first commit."""

    is_armed = True

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        if self.is_armed:
            self.is_armed = False
            anyio.run(write_erasure, AsyncMemoryStore(self), KEYS, UserId("ann"))
        return super().commit(commits)


def dataset(directory: Path, *rows: str, head: str = "user_id,address_hash,own", schema: str = "") -> Path:
    (directory / "contacts.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    (directory / "schema.toml").write_text(schema, encoding="utf-8")
    return directory


def test_without_the_table_there_is_nothing_to_load(tmp_path: Path) -> None:
    (tmp_path / "connections.csv").write_text("user_id,other_id\n", encoding="utf-8")
    assert read_uploads(tmp_path) is None


def test_contacts_and_own_addresses_reach_the_store_and_match(tmp_path: Path) -> None:
    ann, bea = address_of("ann"), address_of("bea")
    read = read_uploads(dataset(tmp_path, f"ann,{bea.upper()},false", f"ann,{bea},", f"bea,{bea},true", f"bea,{ann},"))
    assert read is not None
    assert (read.contacts, read.own) == ({"ann": {bea}, "bea": {ann}}, {"bea": {bea}})
    store = MemoryStore()
    assert load_uploads(read, store, KEYS, "a key") == 2
    record = ContactRecord.unpack(store.get(KEYS.contacts("ann")))
    assert record.contacts != frozenset(keyed([bea], b"another key"))
    for user_id in ("ann", "bea"):
        Matcher(store, KEYS).match(user_id)
    assert list(LiveRecord.unpack(store.get(KEYS.live("ann"))).contacts()) == ["bea"]
    assert LiveRecord.unpack(store.get(KEYS.live("bea"))).contacts() == {}, "ann has no address of her own"
    assert sum(store.stream_length(KEYS.log(shard)) for shard in range(SHARDS)) == 2
    assert load_uploads(read, store, KEYS, "a key") == 0, "a second night has nothing to say"


def test_a_later_upload_wins(tmp_path: Path) -> None:
    schema = 'as_of = "2026-01-01T00:00:00Z"\n'
    read = read_uploads(dataset(tmp_path, f"ann,{address_of('bea')},false", schema=schema))
    assert read is not None
    store = MemoryStore()
    later = ContactRecord(read.as_of_us + 1)
    store.set(KEYS.contacts("ann"), later.pack())
    assert load_uploads(read, store, KEYS, None) == 0
    assert ContactRecord.unpack(store.get(KEYS.contacts("ann"))) == later


def test_what_is_taken_back_while_a_night_runs_stays_so(tmp_path: Path) -> None:
    read = read_uploads(dataset(tmp_path, f"ann,{address_of('bea')},false"))
    assert read is not None
    store = MemoryStore()
    withdrawn = ContactRecord(now_us())
    store.set(KEYS.contacts("ann"), withdrawn.pack())
    assert load_uploads(read, store, KEYS, None) == 0
    assert ContactRecord.unpack(store.get(KEYS.contacts("ann"))) == withdrawn


@pytest.mark.parametrize("is_dated", [True, False])
def test_what_was_taken_back_comes_back_only_with_an_export_that_is_later(tmp_path: Path, is_dated: bool) -> None:
    schema = f"as_of = {now_us() // 1_000_000}\n" if is_dated else ""
    ann, bea, cat = address_of("ann"), address_of("bea"), address_of("cat")
    read = read_uploads(dataset(tmp_path, f"ann,{bea},", f"ann,{ann},true", f"cat,{ann},", schema=schema))
    assert read is not None
    store, cats = MemoryStore(), frozenset(keyed([cat], b"k"))
    store.set(KEYS.contacts("ann"), ContactRecord(1).pack())
    store.set(KEYS.contacts("cat"), ContactRecord(1, contacts=cats).pack())
    assert load_uploads(read, store, KEYS, "k") == 1 + is_dated
    record = ContactRecord.unpack(store.get(KEYS.contacts("ann")))
    assert (len(record.contacts), len(record.own)) == (is_dated, is_dated)
    assert ContactRecord.unpack(store.get(KEYS.contacts("cat"))).contacts != cats, "what is there is replaced"


def test_a_table_of_own_addresses_leaves_the_address_books(tmp_path: Path) -> None:
    store, book = MemoryStore(), frozenset(keyed([address_of("bea")], b"k"))
    store.set(KEYS.contacts("ann"), ContactRecord(1, contacts=book).pack())
    read = read_uploads(dataset(tmp_path, f"ann,{address_of('ann')},true"))
    assert read is not None
    assert load_uploads(read, store, KEYS, None) == 1
    record = ContactRecord.unpack(store.get(KEYS.contacts("ann")))
    assert (record.contacts, len(record.own)) == (book, 1)


def test_an_erasure_wins_over_a_table_that_is_being_loaded(tmp_path: Path) -> None:
    read = read_uploads(dataset(tmp_path, f"ann,{address_of('ann')},true"))
    assert read is not None
    store = EraseBeforeCommit()
    assert load_uploads(read, store, KEYS, None) == 0
    assert store.get(KEYS.contacts("ann")) is None
    assert load_uploads(read, store, KEYS, None) == 0, "nor does a second night bring the erased user back"


@pytest.mark.parametrize(("row", "fault"), [("ann,bea@example.org,false", "not a SHA-256"), ("ann,,false", "is empty")])
def test_a_cell_that_is_no_hash_is_refused_by_its_place(tmp_path: Path, row: str, fault: str) -> None:
    with pytest.raises(DatasetError, match=rf"contacts\.csv, line 3.*address_hash.*{fault}"):
        read_uploads(dataset(tmp_path, f"ann,{address_of('bea')},false", row))


def test_a_table_without_hashes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="address_hash"):
        read_uploads(dataset(tmp_path, "ann,bea", head="user_id,email"))


def test_a_synthetic_address_book_has_friends_and_strangers() -> None:
    ids = pl.Series([f"user{number}" for number in range(40)])
    pairs = pl.DataFrame({"a": range(39), "b": range(1, 40)}).to_numpy()
    table = contacts(ids, pairs, 1)
    assert table.equals(contacts(ids, pairs, 1))
    own = table.filter(pl.col("own"))
    assert own["address_hash"].to_list() == [address_of(user_id) for user_id in own["user_id"]]
    books = table.filter(~pl.col("own"))
    known = dict(zip(own["address_hash"].to_list(), own["user_id"].to_list(), strict=True))
    friends = {(a, b) for a, b in pairs.tolist()} | {(b, a) for a, b in pairs.tolist()}
    found = [(user, known.get(address)) for user, address in books.select("user_id", "address_hash").iter_rows()]
    assert any(other is None for _, other in found)
    met = [(int(user[4:]), int(other[4:])) for user, other in found if other is not None]
    assert met
    assert set(met) <= friends
