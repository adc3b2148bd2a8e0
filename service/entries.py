"""The JSON of the people shown: score, sources and reasons, all from one version."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models import sources
from models.live.newcomer import ProfileCodes
from models.sources import Source
from models.tables import Tables
from service.reasons import (
    EXAMPLES,
    SharedAttributes,
    attribute_text,
    mutual_connections,
    mutual_text,
)

_SOURCES = tuple(b',"sources":%b,"reasons":[' % orjson.dumps(sources.names(bits)) for bits in range(256))
"""by source bits, what stands between an entry's position and its reasons"""

_NEAR = np.uint8(Source.FRIENDS_OF_FRIENDS)
_AROUND = np.uint8(Source.RANDOM_WALK)
_ATTRIBUTES_KEPT = 1 << 14
_COUNTS_KEPT = 1 << 12


class Told(NamedTuple):
    """What a viewer is told of the people shown (k)."""

    reasons: list[bytes]
    """of each the JSON without its brackets"""
    mutuals: NDArray[np.int64]
    """(k,) connections in common who may be named"""

    def sources(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(k,) the source bits (k,) that may be told: a friend of a friend only where the friend may be named.

        Whoever was found through hidden friends alone was met on a walk, so that nothing seems to have been left out.
        """
        hidden = (self.mutuals == 0) & ((bits & _NEAR) != 0)
        return np.where(hidden, (bits & ~_NEAR) | _AROUND, bits) if np.count_nonzero(hidden) else bits


class EntryEncoder:
    """Encodes people of one version for one viewer at a time; keeps the texts that come up often.

    Holds four bytes a user as scratch; one thread at a time.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.int32)
        self._attributes = SharedAttributes(tables)

    def told(self, viewer: int | ProfileCodes | None, shown: NDArray[np.intp], friends: NDArray[np.int32]) -> Told:
        """What is told of the people shown (k,).

        `viewer` is a row, or the profile of somebody without one; None shares no attribute. `friends` are the viewer's
        connections that may be named, ascending.
        """
        mutuals = mutual_connections(self._tables.graph, friends, shown, self._marks)
        shared = self._attributes.of(viewer, shown) if viewer is not None else [[] for _ in range(len(shown))]
        named, first = self._tables.vocabulary.quoted(mutuals.examples), 0
        reasons = []
        for count, attributes in zip(mutuals.counts.tolist(), shared, strict=True):
            parts = []
            if count:
                head, tail = _mutual_reason(count)
                last = first + min(count, EXAMPLES)
                parts.append(head + b",".join(named[first:last]) + tail)
                first = last
            if attributes:
                parts += [_attribute_reason(column, value) for column, value in attributes]
            reasons.append(b",".join(parts))
        return Told(reasons, mutuals.counts)

    def halves(
        self, rows: NDArray[np.uint32], scores: NDArray[np.float32], bits: NDArray[np.uint8], told: Told
    ) -> list[tuple[bytes, bytes]]:
        """What stands before and after the position in each person's entry, all of length k."""
        people = self._tables.vocabulary.quoted(rows)
        shown = (b"%.6g " * len(rows) % tuple(scores.tolist())).split()
        return [
            (b'{"user_id":%b,"score":%b,"position":' % (person, score), b"%b%b]}" % (_SOURCES[found], reason))
            for person, score, found, reason in zip(
                people, shown, told.sources(bits).tolist(), told.reasons, strict=True
            )
        ]


@lru_cache(maxsize=_COUNTS_KEPT)
def _mutual_reason(count: int) -> tuple[bytes, bytes]:
    """What stands before and after the ids named of so many mutual connections."""
    head = b'{"code":"mutual_connections","count":%d,"examples":[' % count
    return head, b'],"text":%b}' % orjson.dumps(mutual_text(count))


@lru_cache(maxsize=_ATTRIBUTES_KEPT)
def _attribute_reason(column: str, value: str) -> bytes:
    told = {"code": "same_attribute", "attribute": column, "value": value, "text": attribute_text(column, value)}
    return b"%b" % orjson.dumps(told)  # a copy: orjson's own bytes take four kilobytes each
