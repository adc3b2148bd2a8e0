"""Places of the first page that are not ranked: the viewer's contacts at its head, and newcomers at its end.

Of contacts only what the viewer uploaded herself decides: nothing here reads what others have in their address books.
"""

from collections.abc import Sequence
from math import ceil
from time import time
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from models.graph import Graph
from service.ranking.pipeline import profile_of
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import Suggestion
from service.recommend.query import Query
from service.state.served_version import ServedVersion

SOURCE, NEW = "contacts", "newcomers"
REASON = {"code": "contact", "text": "In your contacts"}
SCORE = 0.5
"""of a contact, unless the best of the list has more"""
TIRED = 12
"""impressions without an action after which a contact has no place at the head any more"""
TURN_S = 3600.0
"""how long a newcomer has a place, if there are more newcomers than places"""
_NO_ROWS = np.zeros(0, np.int32)


class ReservedPlaces(NamedTuple):
    """The contacts at the head of a page, and the newcomers at its end."""

    chosen: tuple[Suggestion, ...] = ()
    rows: NDArray[np.int32] = _NO_ROWS
    """(k,) of those whom the version knows; the rest of the page leaves them out"""
    newcomers: tuple[Suggestion, ...] = ()

    @property
    def taken(self) -> int:
        """Places that are not ranked."""
        return len(self.chosen) + len(self.newcomers)


NOBODY = ReservedPlaces()
"""every page without such places has this one"""


def reserved_places(query: Query, version: ServedVersion, viewer: Viewer) -> ReservedPlaces:
    """The contacts who take places of a page: those who joined last, and then those who know most of her friends.

    Of a viewer whom the version does not know they may take all but one: nothing else says as much of whom she knows.
    Pages after the first have none, but leave out those of the first.
    """
    ranking = version.ranking
    share = ranking.contacts_share if viewer.row is not None or not ranking.contacts_share else 1.0
    left_out = {viewer.user_id, *query.excluded}
    contacts = [one for one in viewer.contacts if one.user_id not in left_out]
    new = _newcomers(query, int(query.limit * ranking.newcomers_share), viewer)
    most = min(ceil(query.limit * share), query.limit - len(new) - 1)  # a ranked place is always left
    if most <= 0 or not contacts:
        return ReservedPlaces(newcomers=new) if new else NOBODY
    # those whom the version knows pass its hard rules, and the viewer is not tired of them
    rows = np.array([one.row for one in contacts], dtype=np.int64)
    known = np.flatnonzero(rows >= 0)
    passes = np.ones(len(rows), np.bool_)
    passes[known] = ranking.masks(viewer, rows[known].astype(np.uint32)) == 0
    view = viewer.view
    if view is not None and len(view.shown):
        passes &= ~np.isin(rows, view.shown[view.times >= TIRED])
    # those who joined last; how many friends each knows tells apart only those who are found at the same time
    since = np.array([one.since for one in contacts], dtype=np.int64)
    passing = np.flatnonzero(passes)
    if len(passing) > most:
        passing = passing[since[passing] >= np.partition(since[passing], -most)[-most]]
    mutual = _mutual(version.tables.graph, rows[passing], ranking.friends(viewer))
    order = [
        (-int(since[at]), -count, contacts[at].user_id, at)
        for at, count in zip(passing.tolist(), mutual.tolist(), strict=True)
    ]
    places = [at for *_, at in sorted(order)[:most]]
    chosen = tuple(contacts[at] for at in places)
    if not chosen and not new:
        return NOBODY
    return ReservedPlaces(chosen, rows[places][rows[places] >= 0].astype(np.int32), new)


def _mutual(graph: Graph, rows: NDArray[np.int64], friends: NDArray[np.int32]) -> NDArray[np.int64]:
    """(k,) how many of `friends`, ascending, the person of each row knows; 0 for the row -1."""
    counts = np.zeros(len(rows), np.int64)
    known = np.flatnonzero(rows >= 0)
    if not len(known) or not len(friends):
        return counts
    degrees = graph.degrees_of(rows[known])
    ends = np.cumsum(degrees)
    # the neighbours of all of them, one person after the other
    edges = np.arange(ends[-1]) + np.repeat(graph.indptr[rows[known]] - (ends - degrees), degrees)
    others = graph.indices[edges]
    places = np.minimum(np.searchsorted(friends, others), len(friends) - 1)
    owners = np.repeat(known, degrees)
    return np.bincount(owners[friends[places] == others], minlength=len(rows)).astype(np.int64)


def _newcomers(query: Query, most: int, viewer: Viewer) -> tuple[Suggestion, ...]:
    """The newcomers who have the places at the end of a page for this hour: each of them has its turn."""
    left = [one for one in viewer.newcomers if one.user_id not in query.excluded] if most else []
    if len(left) <= most:
        return tuple(left)
    first = crc32(viewer.user_id.encode()) + int(time() // TURN_S)
    return tuple(left[(first + number) % len(left)] for number in range(most))


def with_reserved(places: ReservedPlaces, text: bytes, limit: int, version: ServedVersion, viewer: Viewer) -> bytes:
    """The JSON of a page with the contacts at its head and newcomers at its end, `limit` entries in all."""
    ranking = version.ranking
    others: list[dict[str, Any]] = orjson.loads(b"[%b]" % text)
    others = others[: max(limit - places.taken, 0)]
    score = max(SCORE, others[0]["score"] if others else 0.0)
    least = others[-1]["score"] if others else score
    # entries of those whom the version knows, with what else there is to say of them
    k = len(places.rows)
    scores, bits = np.full(k, score, np.float32), np.zeros(k, np.uint8)
    encoded = ranking.encoder.entries(
        profile_of(viewer), ranking.friends(viewer), places.rows.astype(np.uint32), scores, bits
    )
    known = {entry["user_id"]: entry for entry in orjson.loads(b"[%b]" % encoded.text)}
    head = [_entry(one.user_id, score, known.get(one.user_id)) for one in places.chosen]
    end = [
        {"user_id": one.user_id, "score": least, "position": 0, "sources": [NEW], "reasons": []}
        for one in places.newcomers
    ]
    return _numbered([*head, *others, *end][:limit])


def _entry(user_id: str, score: float, known: dict[str, Any] | None) -> dict[str, Any]:
    reasons = [REASON, *(known["reasons"] if known else ())]
    return {"user_id": user_id, "score": score, "position": 0, "sources": [SOURCE], "reasons": reasons}


def _numbered(entries: Sequence[dict[str, Any]]) -> bytes:
    for position, entry in enumerate(entries, 1):
        entry["position"] = position
    return orjson.dumps(entries)[1:-1]
