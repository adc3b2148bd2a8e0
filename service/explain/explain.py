"""Why a person is, or is not, suggested to a viewer: what sources, ranker and rules of one version say of the pair."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from models.ranker.attribution import Explanation
from models.schema.candidate_sources import Source
from models.schema.columns import ALL_FLAGS
from models.schema.pair_features import MEASURES
from models.schema.relationship import Relationship
from models.schema.vocabulary import Row
from models.version.candidate_block import Block
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from service.explain.mutual_connections import mutuals
from service.explain.schema import (
    Candidate,
    Feature,
    Score,
    SharedValue,
    SourceVerdict,
    WhyAnswer,
)
from service.ranking.filters import (
    RULES_OF_FLAGS,
    RULES_OF_PAIR,
    Rule,
    name_of,
)
from service.ranking.page import DEEPEST
from service.ranking.pipeline import Ranking, profile_of
from service.ranking.ranked_list import RankedList
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.state.served_version import ServedVersion

VIEWER_INACTIVE = "viewer_inactive"
"""the rule that leaves a deactivated viewer without a list"""
NEWCOMER = "newcomer"
"""the rule that drops people whom the version does not know: they are not suggested before the next night"""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two people of an explanation, in one version and by their live state."""

    viewer: Viewer
    other: Viewer
    relationship: Relationship
    """between them now; read if the version does not know the other"""

    @property
    def other_profile(self) -> Row | ProfileCodes | None:
        """The row whose profile others are shown of the other, or the profile itself."""
        return self.other.codes if self.other.row is None else self.other.row


def why(version: ServedVersion, pair: Pair, block: Block | None, context: str, request_id: str) -> WhyAnswer:
    """What a version says of a pair; `block` holds the viewer's candidates, or is None."""
    # the list that the viewer is shown now, as deep as any page goes
    tables, ranking, viewer, other = version.tables, version.ranking, pair.viewer, pair.other
    rules = rules_against(version, pair)
    trace = Trace()
    read = None if block is None else ranking.reader.read(block, viewer)
    block = None if read is None else read.block
    candidates = ranking.cold_start(viewer, trace) if read is None else ranking.score(read, context, trace)
    listed, _ = ranking.filter(candidates, viewer, trace)
    reranked = ranking.rerank(listed, context, DEEPEST, viewer, trace)
    listed = listed if reranked is None else reranked
    is_active = viewer.is_served
    place = _place(block.rows, other.row) if block is not None else None
    position = _place(listed.rows, other.row) if is_active else None
    # the other among the candidates, with the score and what made it
    explanation = None
    candidate = None
    if read is not None and block is not None and place is not None:
        explanation = ranking.explain(read, place, context)
        scores = ranking.scores(read, context)
        rank = 1 + int((scores > scores[place]).sum())
        candidate = Candidate(place=place + 1, rank=rank, of=len(block))
    # what the two share
    shared = shared_values(tables, profile_of(viewer), pair.other_profile)
    friends = ranking.friends(viewer)
    mutual = mutuals(tables, friends, friends_of(tables, other))
    bits = int(block.sources[place]) if block is not None and place is not None else None
    reasons = [] if other.row is None else _reasons(ranking, viewer, friends, other.row)
    return WhyAnswer(
        user_id=viewer.user_id,
        other_id=other.user_id,
        request_id=request_id,
        version=version.version,
        context=context,
        served=_served(is_active=is_active, has_block=block is not None, listed=listed),
        position=None if position is None else position + 1,
        listed=len(listed) if is_active else 0,
        rules=rules,
        candidate=candidate,
        sources=[_verdict(source, bits, other.row, tables, explanation, mutual.count, shared) for source in Source],
        score=_score(explanation) if explanation else None,
        features=_features(explanation) if explanation else [],
        reasons=reasons,
        shared=shared,
        mutuals=mutual,
    )


def rules_against(version: ServedVersion, pair: Pair) -> list[str]:
    """The names of all rules that drop the other from the viewer's list now."""
    viewer, other = pair.viewer, pair.other
    if other.row is not None:
        mask = int(version.ranking.masks(viewer, np.array([other.row], dtype=np.uint32))[0])
    else:
        flags = ALL_FLAGS if other.view is None else other.view.flags
        mask = int(RULES_OF_PAIR[pair.relationship] | RULES_OF_FLAGS[flags])
        mask |= Rule.SELF if viewer.user_id == other.user_id else 0
    names = [name_of(rule) for rule in Rule if rule & mask]
    if other.row is None:
        names.append(NEWCOMER)
    if not viewer.is_served:
        names.append(VIEWER_INACTIVE)
    return names


def friends_of(tables: Tables, person: Viewer) -> NDArray[np.int32]:
    """Rows of a user's connections, ascending: those of the version, of a newcomer those of the live state."""
    if person.row is not None:
        return tables.graph.neighbours(person.row)
    return person.view.friends if person.view is not None else np.zeros(0, np.int32)


def shared_values(
    tables: Tables, viewer: Row | ProfileCodes | None, other: Row | ProfileCodes | None
) -> list[SharedValue]:
    """Every value of a categorical or multi-valued column that both profiles have."""
    if viewer is None or other is None:
        return []
    viewer_codes, other_codes = codes_of(viewer, tables), codes_of(other, tables)
    own, theirs = viewer_codes.categorical, other_codes.categorical
    values = [
        SharedValue(column=tables.categorical_columns[at], value=tables.categorical_values[at][own[at]])
        for at in np.flatnonzero((own == theirs) & (own >= 0)).tolist()
    ]
    for code in np.intersect1d(viewer_codes.sets, other_codes.sets, assume_unique=True).tolist():
        column, value = tables.multi_values[code]
        values.append(SharedValue(column=column, value=value))
    return values


def _reasons(ranking: Ranking, viewer: Viewer, friends: NDArray[np.int32], other: Row) -> list[Any]:
    """The reasons that the viewer would be shown for a row."""
    row, score, bits = np.array([other], np.uint32), np.zeros(1, np.float32), np.zeros(1, np.uint8)
    entry = ranking.encoder.entries(profile_of(viewer), friends, row, score, bits)
    reasons: list[Any] = orjson.loads(entry.text)["reasons"]
    return reasons


def _place(rows: NDArray[np.uint32], other: Row | None) -> int | None:
    """The place of a row, None if it is not among them."""
    if other is None:
        return None
    at = np.flatnonzero(rows == other).tolist()
    return at[0] if at else None


def _served(*, is_active: bool, has_block: bool, listed: RankedList) -> Literal["ranked", "cold_start", "empty"]:
    if not is_active:
        return "empty"
    if not has_block:
        return "cold_start"
    return "ranked" if len(listed) else "empty"


def _score(explanation: Explanation) -> Score:
    return Score(
        starting_point=explanation.starting_point,
        logit=explanation.logit,
        log_odds=explanation.log_odds,
        probability=explanation.probability,
        residual=explanation.residual,
        tower_product=explanation.tower_product,
    )


def _features(explanation: Explanation) -> list[Feature]:
    """Every input by falling weight of its contribution."""
    features = [
        Feature(
            name=name,
            value=value,
            measure=MEASURES[name](value) if name in MEASURES else None,
            contribution=explanation.contributions[name],
        )
        for name, value in explanation.inputs.items()
    ]
    return sorted(features, key=lambda feature: -abs(feature.contribution))


_EVIDENCE = {
    Source.RANDOM_WALK: ("pagerank", "personalised PageRank {:.2g}"),
    Source.THREE_HOPS: ("three_hops", "weight of the paths of three steps {:.2g}"),
    Source.EMBEDDING: ("embedding_cosine", "cosine of the embeddings {:.2f}"),
}
"""by source, the feature that it ranks by and the words for it"""


def _verdict(
    source: Source,
    bits: int | None,
    other: Row | None,
    tables: Tables,
    explanation: Explanation | None,
    mutual: int,
    shared: list[SharedValue],
) -> SourceVerdict:
    """What a source says of the pair; `bits` are the sources of the candidate, None if the other is none."""
    evidence = None
    if source is Source.FRIENDS_OF_FRIENDS:
        evidence = f"{mutual} mutual connection{'' if mutual == 1 else 's'} who may be named"
    elif source is Source.SAME_ATTRIBUTES:
        evidence = "; ".join(f"{value.column}: {value.value}" for value in shared) or "nothing in common"
    elif source is Source.CONTACTS:
        evidence = "at least two of the viewer's contacts know the person" if bits and bits & source else None
    elif source is Source.POPULAR:
        at = np.flatnonzero(tables.popular == (-1 if other is None else other))
        evidence = f"number {int(at[0]) + 1} of the best connected" if len(at) else "not among the best connected"
    elif explanation is not None and source in _EVIDENCE:
        name, phrase = _EVIDENCE[source]
        if name in explanation.inputs:
            value = explanation.inputs[name]
            evidence = phrase.format(MEASURES[name](value) if name in MEASURES else value)
    found = None if bits is None else bool(bits & source)
    return SourceVerdict(source=str(source.name).lower(), found=found, evidence=evidence)
