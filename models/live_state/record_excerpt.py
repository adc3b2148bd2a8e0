"""What a request asks of a live record, read without the rest of it.

Unpacking a record costs with everyone whom it names: half a second for 100,000 people. An excerpt has the fields of the
header and the edges of a few users, found by bisection; of the journal it reads all. A large record is read in a
thread, so that the event loop serves others.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from struct import Struct
from typing import TypeVar

import numpy as np

from models.live_state import journal
from models.live_state.edges import EDGE_EVENTS
from models.live_state.user_record import Columns, LiveRecord, base_length, open_base

LARGE_BYTES = 1 << 16
"""a record above this size is read in a thread: some 2,700 edges"""
THREADS = 2
"""large records that are read at a time; further ones wait, since threads take the processor from the event loop"""

Read = TypeVar("Read")

_BOUNDS = Struct("<2I")
_TIMESTAMP = Struct("<q")
_threads = ThreadPoolExecutor(THREADS, "record")  # starts no thread before it is used


def excerpt(packed: bytes | None, others: Collection[str] = ()) -> LiveRecord:
    """The record of these bytes with no edges but those of `others`, and without the users shown; empty for None.

    `last` and `graph_changed_at` are those of the base. Raises CorruptRecordError.
    """
    if packed is None:
        return LiveRecord()
    end = base_length(packed)
    record, columns = open_base(packed[:end] if end < len(packed) else packed)
    last, graph_changed_at = record.last, record.graph_changed_at
    for other in others:
        if edge_events := _edge_events(packed, columns, other.encode()):
            record.edges[other] = edge_events
    asked = frozenset(others)
    record.merge(entry for entry in journal.entries(packed, end) if entry.number >= EDGE_EVENTS or entry.text in asked)
    record.last, record.graph_changed_at, record.shown = last, graph_changed_at, {}
    return record


async def read_excerpt(packed: bytes | None, others: Collection[str] = ()) -> LiveRecord:
    """The same as `excerpt`, of a large record in a thread."""
    if packed is None or len(packed) <= LARGE_BYTES:
        return excerpt(packed, others)
    return await in_thread(excerpt, packed, others)


async def read_record(packed: bytes | None) -> LiveRecord:
    """The whole record, a large one in a thread. Raises CorruptRecordError."""
    if packed is None or len(packed) <= LARGE_BYTES:
        return LiveRecord.unpack(packed)
    return await in_thread(LiveRecord.unpack, packed)


def in_thread(read: Callable[..., Read], *arguments: object) -> asyncio.Future[Read]:
    """What a call that reads a large record returns, made in one of a few threads."""
    return asyncio.get_running_loop().run_in_executor(_threads, partial(read, *arguments))


def _edge_events(packed: bytes, columns: Columns, other: bytes) -> dict[int, int]:
    """The edge events of one user in a base: timestamp by number. The ids and the edge events are sorted."""

    def id_at(position: int) -> bytes:
        begin, stop = _BOUNDS.unpack_from(packed, columns.starts + 4 * position)
        return packed[columns.ids + begin : columns.ids + stop]

    position = bisect_left(range(columns.n), other, key=id_at)
    if position == columns.n or id_at(position) != other:
        return {}
    named = np.frombuffer(packed, "<u4", columns.m, columns.edge_events)
    first, stop = np.searchsorted(named, np.array([position, position + 1], "<u4")).tolist()
    numbers, timestamps = columns.edge_events + 4 * columns.m, columns.edge_events + 5 * columns.m
    return {
        packed[numbers + row]: _TIMESTAMP.unpack_from(packed, timestamps + 8 * row)[0] for row in range(first, stop)
    }
