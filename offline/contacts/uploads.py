"""Reads the contacts of a dataset directory, and hands them to the store as if their users had uploaded them.

contacts.csv has `user_id`, `address_hash` (as PUT /pymk/users/{user_id}/contacts takes it) and, optionally, `own`: true
for an address of the user, false or empty for one in the user's address book.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import structlog

from models.contacts.address import HASH, keyed, network_key_blocking
from models.contacts.record import PREFIX_BYTES, ContactRecord, readable
from models.event_log.event import CONTACTS, Entry
from models.live_state.erased_ids import erased_among_blocking
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.user_record import PREFIX_BYTES as LIVE_PREFIX_BYTES
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import SyncStore
from models.store.transaction import Append, Commit, Fence, Guard, Outcome, Write
from models.system.clock import MICROSECONDS, now_us
from offline.dataset.cell_parsing import Cell, boolean_cell, id_cell, meaning, read_cells
from offline.dataset.null_words import emptied
from offline.dataset.schema import SCHEMA_FILE, read_schema
from offline.dataset.table import RECORD, USER_ID
from offline.dataset.table_files import CONTACTS_TABLE, find_table

ADDRESS, OWN = "address_hash", "own"
AT_ONCE = 500
"""users of one trip to the store"""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Uploads:
    """The contacts of a dataset."""

    as_of_us: int
    """time of the export, microseconds: as the schema says, else when reading began"""
    is_dated: bool
    """whether the schema says it"""
    contacts: dict[str, set[str]]
    """by user, the hashes of the address book"""
    own: dict[str, set[str]]
    """by user, the hashes of the user's own addresses"""

    def __len__(self) -> int:
        return len(self.contacts.keys() | self.own.keys())


def read_uploads(directory: Path) -> Uploads | None:
    """The contacts of a dataset directory; None if it has no such table.

    Raises DatasetError with file, line, column and value.
    """
    started = now_us()
    schema = read_schema(directory / SCHEMA_FILE)
    table = find_table(directory, CONTACTS_TABLE, schema)
    if table is None:
        return None
    for column in (USER_ID, ADDRESS):
        table.require(column)
    has_own = table.has(OWN)
    columns = [USER_ID, ADDRESS, *([OWN] if has_own else [])]
    digits = pl.col(ADDRESS).str.to_lowercase()
    is_hash = digits.str.contains(f"^{HASH.pattern}$")
    cells = [
        id_cell(USER_ID, floats=table.holds_floats(USER_ID)),
        Cell(ADDRESS, digits, meaning(ADDRESS).is_null() | ~is_hash, "is not a SHA-256 in 64 hexadecimal digits"),
        *([boolean_cell(OWN)] if has_own else []),
    ]
    is_dated = schema.as_of is not None
    as_of_us = started if schema.as_of is None else schema.as_of * MICROSECONDS
    uploads = Uploads(as_of_us, is_dated, defaultdict(set), defaultdict(set))
    for part in table.parts(columns):
        frame = read_cells(table, emptied(part, table.null_words, (USER_ID, ADDRESS)), cells).drop(RECORD)
        own = frame[OWN].fill_null(value=False).to_list() if has_own else [False] * frame.height
        for user_id, address, is_own in zip(frame[USER_ID].to_list(), frame[ADDRESS].to_list(), own, strict=True):
            (uploads.own if is_own else uploads.contacts)[user_id].add(address)
    return uploads


def load_uploads(uploads: Uploads, store: SyncStore, keys: Keys, secret: str | None) -> int:
    """Writes the contacts of a dataset; returns of how many users.

    Of a user for whom the table has only contacts, or only own addresses, the others stay. Left out are users who
    uploaded later than the export, and those who were erased; where the schema does not say when the export was made,
    also users who took back all they had, since it may be older than that. Raises StoreError.
    """
    key = network_key_blocking(store, keys, secret)
    people = sorted(uploads.contacts.keys() | uploads.own.keys())
    written = 0
    for start in range(0, len(people), AT_ONCE):
        some = people[start : start + AT_ONCE]
        stored = store.get_many([*map(keys.contacts, some), *map(keys.live, some)])
        erased = erased_among_blocking(store, keys, some)  # after the live records, which an erasure writes first
        read = zip(some, stored[: len(some)], stored[len(some) :], strict=True)
        left = [(user_id, packed, live) for user_id, packed, live in read if user_id not in erased]
        written += store.commit(list(_commits(uploads, store, keys, key, left))).count(Outcome.APPLIED)
    log.info("contacts_loaded", users=written, left_out=len(uploads) - written)
    return written


def _commits(
    uploads: Uploads,
    store: SyncStore,
    keys: Keys,
    key: bytes,
    stored: Sequence[tuple[str, bytes | None, bytes | None]],
) -> Iterator[Commit]:
    """A commit for each user whose record is older than the export and differs from it; `stored` has both records."""
    for user_id, packed, live in stored:
        before = readable(packed)
        has_withdrawn = before.timestamp_us > 0 and not before.own and not before.contacts
        if has_withdrawn and not uploads.is_dated:
            continue
        own, contacts = (
            frozenset(keyed(sorted(table[user_id]), key)) if user_id in table else former
            for table, former in ((uploads.own, before.own), (uploads.contacts, before.contacts))
        )
        if before.timestamp_us > uploads.as_of_us or (own, contacts) == (before.own, before.contacts):
            continue
        timestamp_us = take_timestamp_blocking(store, keys, now=now_us())
        record = ContactRecord(uploads.as_of_us, before.tested_since, before.tested, own, contacts)
        shard, name = shard_of(user_id), keys.contacts(user_id)
        yield Commit(
            # an erasure replaces the live record, and may find no contacts to delete
            guards=[
                Guard(name, packed and packed[:PREFIX_BYTES], len(packed or b"")),
                Guard(keys.live(user_id), live and live[:LIVE_PREFIX_BYTES]),
            ],
            fences=[Fence(keys.fence(shard), timestamp_us)],
            writes=[Write(name, record.pack())],
            appends=[Append(keys.log(shard), Entry(CONTACTS, UserId(user_id), timestamp_us).encode())],
        )
