"""The JSON of the people shown: score, sources and reasons, all from one version."""

import numpy as np
import orjson
from numpy.typing import NDArray

from models.schema import candidate_sources
from models.schema.candidate_sources import Source
from models.schema.vocabulary import Row
from models.version.new_user_record import ProfileCodes
from models.version.tables import Tables
from service.ranking.kernels.json_encoder import FIXED, write_entries
from service.ranking.kernels.mutual_friends import mutual_friends
from service.ranking.list_json import Entries
from service.ranking.reasons import ReasonValues

EXAMPLES = 3
"""mutual connections named at most"""

_SOURCES = [b',"sources":%b,"reasons":[' % orjson.dumps(candidate_sources.names(bits)) for bits in range(256)]
"""by source bits, the text between an entry's position and its reasons"""
_SOURCE_TEXT = np.frombuffer(b"".join(_SOURCES), dtype=np.uint8)
_SOURCE_STARTS = np.cumsum([0, *map(len, _SOURCES)])


class JsonEncoder:
    """Encodes people of one version for one viewer at a time.

    Holds a byte a user of work space; one thread at a time. The kernel writes twenty entries in 26 µs; twenty
    dictionaries and orjson take 120 µs, which is a sixth more of a whole ranked list.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.bool_)
        self._values = ReasonValues(tables)

    def entries(
        self,
        viewer: Row | ProfileCodes | None,
        friends: NDArray[np.int32],
        rows: NDArray[np.uint32],
        scores: NDArray[np.float32],
        bits: NDArray[np.uint8],
    ) -> Entries:
        """The entries of the people at the rows (k,), with their scores (k,), 0-1, and source bits (k,), in this order.

        `viewer` is a row, or the profile of a viewer without one; None shares no attribute. `friends` are the viewer's
        connections that may be named, ascending. Mutual connections are counted, and up to EXAMPLES of a person are
        named, those with the fewest connections first, since they say most. A person found through hidden friends alone
        gets the random walk as source, so that the hidden friends do not show as a gap.
        """
        # mutual connections
        tables, k = self._tables, len(rows)
        counts, examples = np.empty(k, dtype=np.int64), np.empty(k * EXAMPLES, dtype=np.int32)
        mutual_friends(tables.graph.indptr, tables.graph.indices, friends, rows, self._marks, counts, examples)
        # what the viewer shares, and room for the longest entries
        own = self._values.of(viewer)
        ids, starts = tables.vocabulary.as_json
        longest = FIXED + (1 + EXAMPLES) * tables.vocabulary.longest_json + len(own.text) + len(own.places)
        out = np.empty(k * longest, dtype=np.uint8)
        ends, places = np.empty(k, dtype=np.uint32), np.empty(k, dtype=np.uint32)
        # the text
        end = write_entries(
            rows,
            scores,
            bits,
            counts,
            examples,
            ids,
            starts,
            _SOURCE_TEXT,
            _SOURCE_STARTS,
            own.places,
            own.text,
            tables.categorical_codes,
            tables.multi_indptr,
            tables.multi_codes,
            EXAMPLES,
            int(Source.FRIENDS_OF_FRIENDS),
            int(Source.RANDOM_WALK),
            out,
            ends,
            places,
        )
        return Entries(out[:end].tobytes(), ends.tolist(), places.tolist())
