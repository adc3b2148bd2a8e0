"""The JSON of the people shown: score, sources and reasons, all from one version."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from models import sources
from models.live.newcomer import ProfileCodes
from models.tables import Tables
from service.reasons import (
    SharedAttributes,
    attribute_text,
    mutual_connections,
    mutual_text,
)

SOURCE_NAMES = tuple(orjson.dumps(sources.names(bits)) for bits in range(256))
"""by source bits, the JSON array of their names"""

_IDS_KEPT = 1 << 16
_ATTRIBUTES_KEPT = 1 << 14


class EntryEncoder:
    """Encodes people of one version for one viewer at a time; keeps the ids and texts that come up often.

    Holds one byte a user as scratch; one thread at a time.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.bool_)
        self._attributes = SharedAttributes(tables)
        vocabulary = tables.vocabulary

        @lru_cache(maxsize=_IDS_KEPT)
        def quoted(row: int) -> bytes:
            return orjson.dumps(vocabulary.user_id(row))

        self._quoted = quoted

    def reasons(
        self, viewer: int | ProfileCodes | None, shown: NDArray[np.intp], friends: NDArray[np.int32]
    ) -> list[bytes]:
        """By person shown (k,) the JSON of the reasons without its brackets.

        `viewer` is a row, or the profile of somebody without one; None shares no attribute. `friends` are the viewer's
        connections that may be named.
        """
        mutuals = mutual_connections(self._tables.graph, friends, shown, self._marks)
        shared = self._attributes.of(viewer, shown) if viewer is not None else [[] for _ in range(len(shown))]
        quoted = self._quoted
        told = []
        for count, examples, attributes in zip(mutuals.counts.tolist(), mutuals.examples, shared, strict=True):
            parts = [_attribute_reason(column, value) for column, value in attributes]
            if count:
                named = b",".join([quoted(row) for row in examples])
                parts.insert(0, _mutual_reason(count, named))
            told.append(b",".join(parts))
        return told

    def halves(
        self, rows: NDArray[np.uint32], scores: NDArray[np.float32], bits: NDArray[np.uint8], reasons: Sequence[bytes]
    ) -> list[tuple[bytes, bytes]]:
        """What stands before and after the position in each person's entry, all of length k."""
        quoted = self._quoted
        return [
            (
                b'{"user_id":%b,"score":%.6g,"position":' % (quoted(row), score),
                b',"sources":%b,"reasons":[%b]}' % (SOURCE_NAMES[found], reason),
            )
            for row, score, found, reason in zip(rows.tolist(), scores.tolist(), bits.tolist(), reasons, strict=True)
        ]


def _mutual_reason(count: int, named: bytes) -> bytes:
    return b'{"code":"mutual_connections","count":%d,"examples":[%b],"text":"%b"}' % (
        count,
        named,
        mutual_text(count).encode(),
    )


@lru_cache(maxsize=_ATTRIBUTES_KEPT)
def _attribute_reason(column: str, value: str) -> bytes:
    return orjson.dumps(
        {"code": "same_attribute", "attribute": column, "value": value, "text": attribute_text(column, value)}
    )
