"""Why somebody is, or is not, suggested to a viewer: what sources, ranker and rules of one version say of the pair."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from models.attribution import Explanation
from models.block import Block
from models.features.pair import MEASURES
from models.sources import Source
from models.tables import Tables
from service.mutuals import mutuals
from service.ranked_list import RankedList
from service.ranking import DEEPEST, Trace, Viewer
from service.rules import Rule, name_of
from service.served_version import ServedVersion
from service.why_answer import Candidate, Feature, Score, SharedValue, SourceVerdict, WhyAnswer

VIEWER_INACTIVE = "viewer_inactive"
"""the rule that leaves a deactivated viewer without a list"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Whom is asked about: ids and rows of one version."""

    user_id: str
    other_id: str
    viewer: int
    other: int


def why(
    version: ServedVersion, pair: Pair, viewer: Viewer, block: Block | None, context: str, request_id: str
) -> WhyAnswer:
    """What a version says of a pair, by what is live of the viewer; `block` holds her candidates, or is None."""
    tables, ranking = version.tables, version.ranking
    rules = rules_against(version, pair, viewer)
    trace = Trace()
    listed = ranking.ranked(block, context, viewer, trace) if block is not None else ranking.cold(viewer, trace)
    placed = ranking.placed(listed, context, DEEPEST, viewer, trace)
    listed = listed if placed is None else placed
    is_active = viewer.is_served
    place = _place(block.rows, pair.other) if block is not None else None
    position = _place(listed.rows, pair.other) if is_active else None
    explanation = None
    candidate = None
    if block is not None and place is not None:
        explanation = ranking.explained(block, place, context)
        scores = ranking.scores(block, context)
        rank = 1 + int((scores > scores[place]).sum())
        candidate = Candidate(place=place + 1, rank=rank, of=len(block))
    shared = shared_values(tables, pair.viewer, pair.other)
    mutual = mutuals(tables, ranking.friends(viewer), pair.other)
    bits = int(block.sources[place]) if block is not None and place is not None else None
    (told,) = ranking.encoder.told(viewer.row, np.array([pair.other]), ranking.friends(viewer)).reasons
    return WhyAnswer(
        user_id=pair.user_id,
        other_id=pair.other_id,
        request_id=request_id,
        version=version.version,
        context=context,
        served=_served(is_active=is_active, has_block=block is not None, listed=listed),
        position=None if position is None else position + 1,
        listed=len(listed) if is_active else 0,
        rules=rules,
        candidate=candidate,
        sources=[_verdict(source, bits, pair, tables, explanation, mutual.count, shared) for source in Source],
        score=_score(explanation) if explanation else None,
        features=_features(explanation) if explanation else [],
        reasons=orjson.loads(b"[%b]" % told),
        shared=shared,
        mutuals=mutual,
    )


def rules_against(version: ServedVersion, pair: Pair, viewer: Viewer) -> list[str]:
    """The names of all rules that keep the other out of the viewer's list now."""
    verdict = int(version.ranking.verdicts(viewer, np.array([pair.other]))[0])
    names = [name_of(rule) for rule in Rule if rule & verdict]
    if not viewer.is_served:
        names.append(VIEWER_INACTIVE)
    return names


def shared_values(tables: Tables, viewer: int, other: int) -> list[SharedValue]:
    """Every value of a categorical or multi-valued column that both rows hold."""
    own, theirs = tables.categorical_codes[viewer], tables.categorical_codes[other]
    found = [
        SharedValue(column=tables.categorical_columns[at], value=tables.categorical_values[at][own[at]])
        for at in np.flatnonzero((own == theirs) & (own >= 0)).tolist()
    ]
    for code in np.intersect1d(_set(tables, viewer), _set(tables, other), assume_unique=True).tolist():
        column, value = tables.multi_values[code]
        found.append(SharedValue(column=column, value=value))
    return found


def _set(tables: Tables, row: int) -> NDArray[np.int32]:
    return tables.multi_codes[tables.multi_indptr[row] : tables.multi_indptr[row + 1]]


def _place(rows: NDArray[np.uint32], other: int) -> int | None:
    """Where a row stands, None where it does not."""
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
"""by source, the feature that it goes by and how it is told"""


def _verdict(
    source: Source,
    bits: int | None,
    pair: Pair,
    tables: Tables,
    explanation: Explanation | None,
    mutual: int,
    shared: list[SharedValue],
) -> SourceVerdict:
    evidence = None
    if source is Source.FRIENDS_OF_FRIENDS:
        evidence = f"{mutual} mutual connection{'' if mutual == 1 else 's'} who may be named"
    elif source is Source.SAME_ATTRIBUTES:
        evidence = "; ".join(f"{one.column}: {one.value}" for one in shared) or "nothing in common"
    elif source is Source.POPULAR:
        at = np.flatnonzero(tables.popular == pair.other)
        evidence = f"number {int(at[0]) + 1} of the best connected" if len(at) else "not among the best connected"
    elif explanation is not None and source in _EVIDENCE:
        name, phrase = _EVIDENCE[source]
        if name in explanation.inputs:
            value = explanation.inputs[name]
            evidence = phrase.format(MEASURES[name](value) if name in MEASURES else value)
    found = None if bits is None else bool(bits & source)
    return SourceVerdict(source=str(source.name).lower(), found=found, evidence=evidence)
