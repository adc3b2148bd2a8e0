"""Scores a candidate block with the trained ranker, folded for one viewer at a time.

The product of the viewer's query with every candidate's vector joins the block's features on the same 256 levels. What
depends on the viewer alone is folded into the weights: the ranges of the codes are multiplied into the head's first
layer, so that one product over codes and derived inputs gives its hidden units.
"""

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from models.arrays import Float32s
from models.errors import ArtefactError, CorruptRecordError
from models.kernels.ranker_head import best_mass, finish, fold, gather, join
from models.ranker.attribution import Attributed, Explanation, Head, Joined
from models.ranker.outcome_heads import HEADS, SIGNS, STEEP, Blend, OutcomeHeads, blended_heads
from models.ranker.product_feature import with_product
from models.schema.pair_features import (
    ALLOCATION,
    COMMON,
    KEPT_FEATURES,
    LOG_POSITION,
    MEASURES,
    PAIR_FEATURES,
    PRODUCT,
    SOURCE_BITS,
    extra_input_names,
    extra_inputs,
)
from models.schema.statistic_names import LOG_DEGREE, WIDTHS
from models.schema.vocabulary import Row
from models.system import files
from models.version.candidate_block import Block
from models.version.towers import Towers

WEIGHTS = "ranker.safetensors"
DESCRIPTION = "ranker.json"
FALLBACK = "resource_allocation"
"""the kind of ranker without training"""
READ = tuple(
    {"pair_features": list(PAIR_FEATURES), "extra_inputs": len(extra_input_names(width)), "viewer_inputs": width}
    for width in WIDTHS
)
"""the head's inputs, by name or number: without dates, and with dates"""
LOWEST_ODDS = np.float32(80)
"""largest negative log-odds for which float32 has a probability"""
BY_DEGREE = np.float32(0.01)
"""logit for each unit of a candidate's log degree, if resource allocation is 0 for all"""
MASS_OF = 20
"""number of a list's best logits that set its level"""


class PersonTables(Protocol):
    """The per-user tables that scoring reads; one row for each user."""

    @property
    def towers(self) -> Towers: ...
    @property
    def statistics(self) -> Float32s: ...


@dataclass(frozen=True, slots=True)
class ViewerInputs:
    """The viewer's inputs of scoring."""

    statistics: Float32s
    """(s,), as a row of the tables"""
    query: Float32s
    """(d,) of the towers"""

    @classmethod
    def of(cls, tables: PersonTables, row: Row) -> "ViewerInputs":
        """The inputs at a row."""
        return cls(tables.statistics[row], tables.towers.query(row))


class Ranker:
    """Scores the candidates of a block; immutable, so threads may share it."""

    def __init__(
        self,
        kind: str,
        calibration: Float32s,
        config: dict[str, Any],
        weights: dict[str, Float32s],
        outcomes: OutcomeHeads | None = None,
    ) -> None:
        self.kind = kind
        """"two_tower", or FALLBACK if there was too little data to train on"""
        self.inputs = len(weights["mean"]) if weights else 0
        """inputs p of a pair; 0 without training"""
        self.outcomes = outcomes
        """the heads learned from outcomes that join the score; None: it is the probability of a friendship alone"""
        self._calibration: list[float] = calibration.tolist()
        if kind != "two_tower":
            return
        both = np.concatenate([weights["first.weight"], weights["past.weight"]])
        pair = both / weights["scale"]
        spans = np.cumsum([len(PAIR_FEATURES), len(PAIR_FEATURES), config["extra_inputs"]])
        self._absolute, self._relative, self._extra, self._viewer = (
            np.ascontiguousarray(part.T) for part in np.split(pair, spans, axis=1)
        )
        self._bias = np.append(weights["first.bias"], np.float32(0)) - pair @ weights["mean"]
        self._second, self._second_bias = np.ascontiguousarray(weights["second.weight"].T), weights["second.bias"]
        self._last, self._last_bias = weights["last.weight"][0], weights["last.bias"][0]
        self._has_layers = bool(self._last.any())
        """False: the head is linear"""
        units = slice(None) if self._has_layers else slice(-1, None)
        parts = (self._bias, self._viewer, self._absolute, self._relative, self._extra)
        self._first: list[Float32s] = [np.ascontiguousarray(part[..., units], dtype=np.float32) for part in parts]
        """the first layer, only the units in use"""
        self._joined = [] if outcomes is None else self._layers_with(outcomes)
        """by context, the first layer with a column more for each head of outcomes"""

    def _layers_with(self, outcomes: OutcomeHeads) -> list[list[Float32s]]:
        """By context, the first layer with a column more for each head."""
        spans, layers = np.cumsum([len(self._absolute), len(self._relative), len(self._extra)]), []
        for weights, bias in zip(outcomes.weights, outcomes.bias, strict=True):
            absolute, relative, extra, viewer = np.split(SIGNS * weights[:, :-1].T, spans)
            pairs = zip(self._first, (SIGNS * bias, viewer, absolute, relative, extra), strict=True)
            layers.append([np.ascontiguousarray(np.concatenate(both, axis=-1), np.float32) for both in pairs])
        return layers

    def with_outcomes(self, outcomes: OutcomeHeads | None) -> "Ranker":
        """The same ranker with other heads of outcomes; with None its scores are of links alone."""
        other = copy.copy(self)
        joined = [] if outcomes is None else self._layers_with(outcomes)
        other.__dict__.update(outcomes=outcomes, _joined=joined)
        return other

    def blended(self, powers: Blend) -> "Ranker":
        """The same ranker whose heads of outcomes are joined by other powers; itself if it has none."""
        if self.outcomes is None:
            return self
        other = copy.copy(self)  # what it reads of the block stays: powers come after the product
        other.outcomes = blended_heads(self.outcomes, powers)
        return other

    @classmethod
    def open(cls, directory: Path) -> "Ranker":
        """The ranker of a version's `model` directory.

        Raises ArtefactError with the file that is missing, truncated or altered.
        """
        path, weights_path = directory / DESCRIPTION, directory / WEIGHTS
        description = files.read_json(path)
        try:
            if description.get("kind") == FALLBACK:
                return cls(FALLBACK, np.asarray(description["calibration"], dtype=np.float32).reshape(4), {}, {})
            digest = description.pop("digest")
            if files.json_digest(description) != digest:
                raise ArtefactError(f"{path} is truncated or altered: its digest does not fit")
            content = files.read_bytes(weights_path)
            if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
                raise ArtefactError(f"{weights_path} is truncated or altered: its digest is not that of {path}")
            config, weights = description["config"], load(content)
            if {name: config[name] for name in READ[0]} not in READ:
                raise ArtefactError(f"{path} was trained on other features than this release: run pymk nightly again")
            outcomes = OutcomeHeads.open(directory, len(weights["mean"]))
            return cls("two_tower", weights["calibration"], config, weights, outcomes)
        except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ArtefactError(f"{path} is truncated or altered: {error!r}") from error

    def logits(self, tables: PersonTables, block: Block, inputs: ViewerInputs | None = None) -> Float32s:
        """(m,) float32 scores of friendships before calibration, in the order of the block.

        `inputs` replace the viewer's row of the tables. A block that `with_product` made is scored as it is.
        """
        if self.kind != "two_tower":
            near = np.asarray(block.codes[ALLOCATION] * block.step[ALLOCATION] + block.low[ALLOCATION])
            # resource allocation is 0 for a viewer without friends: rank by degree
            return near if near.any() else np.asarray(BY_DEGREE * tables.statistics[block.rows, LOG_DEGREE])
        inputs = inputs or ViewerInputs.of(tables, Row(block.viewer))
        hidden = self._first_layer(tables, with_product(tables.towers, block, inputs.query), inputs, self._first)
        return self._logits_of(hidden)

    def _logits_of(self, hidden: Float32s) -> Float32s:
        """(m,) logits of the first layer's product (m, h + 1), to whose units ReLU is applied in place."""
        logits = np.empty(len(hidden), dtype=np.float32)
        join(hidden, logits)
        if self._has_layers:
            second = hidden[:, :-1] @ self._second
            finish(second, self._second_bias, self._last, logits)
        logits += self._last_bias
        return logits

    def _first_layer(
        self, tables: PersonTables, block: Block, viewer: ViewerInputs, weights_of: list[Float32s]
    ) -> Float32s:
        """(m, h + 1) contributions of pair features and extra inputs to the hidden units, and to the linear part; with
        those to the heads of outcomes after them, if the weights have these.
        """
        read = len(block.codes), len(viewer.statistics), tables.statistics.shape[1]
        expected = len(PAIR_FEATURES), len(self._viewer), len(self._viewer)
        if read != expected:  # the kernels check no bounds
            raise CorruptRecordError(f"features and statistics number {read}, not {expected}")
        reads = len(PAIR_FEATURES) + len(self._extra) + 1
        bias, past, absolute, relative, extra = weights_of
        weights = np.empty((reads, len(bias)), dtype=np.float32)
        fold(bias, past, absolute, relative, extra, block.low, block.high, viewer.statistics, weights)
        pair = np.empty((reads, len(block)), dtype=np.float32)
        gather(
            block.rows,
            block.codes,
            block.sources,
            SOURCE_BITS,
            block.low,
            block.high,
            tables.statistics,
            LOG_DEGREE,
            viewer.statistics,
            LOG_POSITION,
            pair,
        )
        overlap = pair[len(PAIR_FEATURES)]
        np.log1p(overlap, out=overlap)  # NumPy computes sixteen at once, a kernel one at a time
        hidden: Float32s = pair.T @ weights
        return hidden

    def scores(self, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs | None = None) -> Float32s:
        """(m,) float32 probabilities of friendship, 0-1, in the order of the block; `inputs` as in `logits`.

        With heads of outcomes, those of people whom their blend puts as high, in this context
        (models.ranker.outcome_heads).
        """
        if self.outcomes is not None and len(block):
            own = inputs or ViewerInputs.of(tables, Row(block.viewer))
            return self._blended(self.outcomes, tables, block, context, own)
        logits = self.logits(tables, block, inputs)
        statistics = tables.statistics[block.viewer] if inputs is None else inputs.statistics
        return self.calibrated(logits, float(statistics[LOG_DEGREE]))

    def _blended(
        self, outcomes: OutcomeHeads, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs
    ) -> Float32s:
        """(m,) scores of a block that is not empty, with the heads of outcomes in a context."""
        at = outcomes.at(context)
        read = with_product(tables.towers, block, inputs.query)
        hidden = self._first_layer(tables, read, inputs, self._joined[at])
        logits = self._logits_of(hidden[:, : -len(HEADS)])
        level = self._level(logits, float(inputs.statistics[LOG_DEGREE]))
        friendship = np.float32(self._calibration[0]) * logits + np.float32(level)
        return outcomes.scores(hidden[:, -len(HEADS) :], logits, friendship, at)

    def calibrated(self, logits: Float32s, viewer_log_degree: float) -> Float32s:
        """Probabilities of (m,) logits of one viewer, by a logistic curve that keeps their order.

        The listwise loss leaves each list's level free. The viewer's degree and the mass of the list's best set it.
        """
        if not len(logits):
            return logits
        odds: Float32s = logits * np.float32(-self._calibration[0])
        odds -= np.float32(self._level(logits, viewer_log_degree))
        np.exp(np.minimum(odds, LOWEST_ODDS, out=odds), out=odds)
        odds += 1
        np.reciprocal(odds, out=odds)
        return odds

    def _level(self, logits: Float32s, viewer_log_degree: float) -> float:
        """The calibration's offset for every logit of a list."""
        _, level, by_degree, by_mass = self._calibration
        return level + by_degree * viewer_log_degree + by_mass * list_mass(logits)

    def explained(
        self, tables: PersonTables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        """Attributes the score of the candidate at a place of the block (models.ranker.attribution); `inputs` as in
        `logits`.
        """
        logits = self.logits(tables, block, inputs)
        scores = self.scores(tables, block, context, inputs)
        inputs = inputs or ViewerInputs.of(tables, Row(block.viewer))
        level = self._level(logits, float(inputs.statistics[LOG_DEGREE]))
        pair = self._attributed(tables, block, place, inputs, level, logits, context)
        log_odds = self._calibration[0] * float(logits[place]) + level if pair.log_odds is None else pair.log_odds
        return Explanation(
            logit=float(logits[place]),
            log_odds=log_odds,
            probability=float(scores[place]),
            starting_point=pair.starting_point,
            inputs=dict(zip(pair.names, pair.inputs, strict=True)),
            contributions=dict(zip(pair.names, pair.shares, strict=True)),
            residual=log_odds - pair.starting_point - sum(pair.shares),
            tower_product=pair.product,
        )

    def _attributed(
        self,
        tables: PersonTables,
        block: Block,
        place: int,
        person: ViewerInputs,
        level: float,
        logits: Float32s,
        context: str,
    ) -> Attributed:
        """What each input of the candidate at a place contributes; `level` is the calibration's of the list, `logits`
        (m,) those of the block.
        """
        slope = self._calibration[0]
        if self.kind != "two_tower":
            values = block.values()[: len(KEPT_FEATURES)].T.astype(np.float64)  # the product is not read
            mean = float(values[:, ALLOCATION].mean())
            of_allocation = np.zeros(values.shape[1])
            of_allocation[ALLOCATION] = slope * (values[place, ALLOCATION] - mean)
            start_odds = slope * mean + level
            return Attributed(list(KEPT_FEATURES), values[place].tolist(), of_allocation.tolist(), start_odds, None)
        # the inputs, and the head for this viewer
        viewer, block = person.statistics, with_product(tables.towers, block, person.query)
        values = block.values().T.astype(np.float64)
        extra = extra_inputs(block.values()[COMMON], tables.statistics[block.rows], viewer, block.sources)
        first = np.concatenate([self._absolute, self._relative, self._extra]).astype(np.float64)
        bias = (self._bias + viewer @ self._viewer).astype(np.float64)
        head = Head(
            first[:, :-1],
            bias[:-1],
            self._second.astype(np.float64),
            self._second_bias.astype(np.float64),
            self._last.astype(np.float64),
            float(self._last_bias + bias[-1]),
            first[:, -1],
        )
        inputs = np.concatenate([values, block.codes.T / 255, extra], axis=1, dtype=np.float64)
        start, end = inputs.mean(axis=0), inputs[place]
        # what they contribute, by name
        joined = None
        if self.outcomes is not None:
            lowest = self.outcomes.lowest(logits)
            joined = self._joined_for(self.outcomes, viewer, level, lowest, context)
        shares, log_odds = head.shares(start, end, joined), None
        if joined is None:
            shares *= slope
            start_odds = slope * head.score(start) + level
        else:
            start_odds = joined.value(head.score(start), start)
            log_odds = joined.value(head.score(end), end)
        own, further = np.arange(len(PAIR_FEATURES)), extra_input_names(len(viewer))
        named = np.concatenate([own, own, len(own) + np.arange(len(further))])
        names, read = [*PAIR_FEATURES, *further], [*values[place].tolist(), *extra[place].tolist()]
        product = MEASURES[PAIR_FEATURES[PRODUCT]](float(values[place, PRODUCT]))
        return Attributed(names, read, np.bincount(named, shares).tolist(), start_odds, product, log_odds)

    def _joined_for(
        self, outcomes: OutcomeHeads, viewer: Float32s, level: float, lowest: float, context: str
    ) -> Joined:
        """What the heads make of a viewer's logits in a context, of inputs without the viewer's own; `lowest` is the
        logit below which they reorder nobody.
        """
        at, signs = outcomes.at(context), SIGNS.astype(np.float64)
        weights = outcomes.weights[at].astype(np.float64)
        of_pair, of_viewer = np.split(weights[:, :-1], [-len(viewer)], axis=1)
        bias = outcomes.bias[at] + of_viewer @ viewer
        slope, height = outcomes.curve.astype(np.float64)
        return Joined(
            on_score=np.append(self._calibration[0], signs * weights[:, -1]),
            weights=np.column_stack([np.zeros(of_pair.shape[1]), (of_pair * signs[:, None]).T]),
            bias=np.append(level, signs * bias),
            powers=slope * outcomes.powers.astype(np.float64),
            level=float(height),
            lowest=lowest,
            steep=float(slope) * STEEP * self._calibration[0],
        )


def list_mass(logits: Float32s) -> float:
    """ln of the mean of exp over the MASS_OF best logits of a list."""
    return float(best_mass(logits, MASS_OF))
