"""Heads that nights learn from outcomes, beside the ranker, and the one score that they are joined into.

Three heads estimate what comes of a person whom the viewer looks at in a list: p(invited), p(accepted | invited) and
p(dismissed). The log-odds of each are linear in the inputs of the ranker and in the ranker's own logit, with weights of
their own in each context, so that they are columns more in the product that a request computes anyhow. The score is

    1 / (1 + exp(-a s - b))
    s = f ln p(friendship) + i ln p(invited) + c ln p(accepted | invited) + d ln(1 - p(dismissed))

with powers f, i, c, d from the configuration of the night. It stays a probability of friendship: a and b are such that
it is the mean of p(friendship), which the ranker knows of each pair, over all who were shown and whom s puts as high.

What heads know they know of people who were shown, the first by links. So they reorder the best of a viewer's
candidates by links alone; s of whoever is not among these is less by STEEP for each unit that the log-odds of a
friendship lack to theirs.

Other powers than the night's are served without a night: the heads keep what they said of some of those who were shown,
from which a and b follow for any powers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.arrays import Float32s, Float64s
from models.errors import ArtefactError
from models.schema.pair_features import LOG_POSITION
from models.setting_texts import BLENDED
from models.system import files

WEIGHTS = "outcomes.safetensors"
DESCRIPTION = "outcomes.json"
HEADS: Final = BLENDED[1:]
SIGNS: Final = np.array([1, 1, -1], dtype=np.float32)
"""of a head's log-odds in the score: that somebody is dismissed counts against them"""

STEEP: Final = 10.0
"""how far s falls for each unit of a friendship's log-odds below the lowest of those whom heads reorder"""
_MOST: Final = np.float32(80)
"""largest negative log-odds for which float32 has a probability"""
_NOBODY: Final = -1e9
"""log-odds that everybody is above"""
LEAST_SLOPE: Final = 0.1
"""of the score's log-odds over the blend"""
_RIDGE: Final = 0.1
"""of the square of a slope over standardised values"""
_STEPS: Final = 30
"""of Newton's method, at most"""

Blend = tuple[tuple[str, float], ...]
"""powers by name (BLENDED), sorted; empty: the night's"""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeHeads:
    """The heads of one version. Contexts that it does not name have the last row of the weights."""

    contexts: tuple[str, ...]
    """those with weights of their own"""
    weights: Float32s
    """(contexts + 1, heads, p + 1) of the ranker's p inputs, unscaled, and then of its logit"""
    bias: Float32s
    """(contexts + 1, heads)"""
    powers: Float32s
    """(1 + heads,) of the probability of a friendship, and of each head's"""
    curve: Float32s
    """(2,) slope and level of the score's log-odds"""
    among: int
    """the best by links alone whom the heads reorder"""
    shown: Float32s = field(default_factory=lambda: np.zeros((0, len(BLENDED)), np.float32))
    """(k, 1 + heads) log-odds of a friendship and of the heads, of people who were shown; heads of an earlier release
    have none
    """

    @classmethod
    def plain(cls, inputs: int) -> "OutcomeHeads":
        """Heads without weights, of a ranker that reads so many inputs: its order stays that of links."""
        heads = len(HEADS)
        powers = np.eye(1, 1 + heads, dtype=np.float32)[0]
        weights, bias = np.zeros((1, heads, inputs + 1), np.float32), np.zeros((1, heads), np.float32)
        return cls((), weights, bias, powers, np.array([1, 0], np.float32), len(LOG_POSITION))

    def at(self, context: str) -> int:
        """The row of a context."""
        return self.contexts.index(context) if context in self.contexts else len(self.contexts)

    def log_odds(self, inputs: NDArray[np.floating], logits: NDArray[np.floating], context: str) -> Float64s:
        """(..., heads) log-odds of the heads, of inputs (..., p) and the ranker's logits (...)."""
        at = self.at(context)
        weights = self.weights[at].astype(np.float64)
        return np.asarray(inputs @ weights[:, :-1].T + logits[..., None] * weights[:, -1] + self.bias[at])

    def blended(self, friendship: NDArray[np.floating], log_odds: Float64s) -> Float64s:
        """(m,) log-odds of the scores of one viewer's candidates, of those of a friendship (m,) and of the heads
        (m, heads).
        """
        behind = STEEP * np.maximum(self.lowest(friendship) - friendship, 0)
        slope, level = self.curve.tolist()
        return np.asarray(slope * (blend_of(self.powers, friendship, log_odds) - behind) + level)

    def scores(self, columns: Float32s, logits: Float32s, friendship: Float32s, at: int) -> Float32s:
        """(m,) float32 scores of one viewer's candidates in the context of a row: `blended` in single precision.

        `columns` (m, heads) are the log-odds of the heads times SIGNS, without what the `logits` (m,) add to them;
        `friendship` (m,) log-odds of one.
        """
        odds = (SIGNS * self.weights[at, :, -1])[:, None] * logits  # a row a head: NumPy is slow over short rows
        odds += columns.T
        total: Float32s = self.powers[1:] @ _surprise(odds)
        if self.powers[0]:
            total += self.powers[0] * _surprise(friendship.copy())
        if len(logits) > self.among:
            total += np.float32(STEEP) * np.maximum(np.float32(self.lowest(friendship)) - friendship, 0)
        total *= self.curve[0]
        total -= self.curve[1]
        np.exp(np.minimum(total, _MOST, out=total), out=total)
        total += 1
        return np.reciprocal(total, out=total)

    def lowest(self, values: NDArray[np.floating]) -> float:
        """The logit, or log-odds of a friendship, of those of one viewer's candidates (m,), below which nobody is
        reordered.
        """
        m = len(values)
        return float(np.partition(values, m - self.among)[m - self.among]) if m > self.among else _NOBODY

    def with_powers(self, powers: Mapping[str, float]) -> "OutcomeHeads":
        """The same heads joined by other powers, those that are named (BLENDED), with the curve that belongs to them.

        A head that the night left out stays out. Returns these heads if nothing changes, or every power would be 0.
        """
        given = np.array([powers.get(name, own) for name, own in zip(BLENDED, self.powers.tolist(), strict=True)])
        learned = np.abs(self.weights).any(axis=(0, 2)) | self.bias.any(axis=0)
        given[1:] *= learned
        if not given.any() or np.array_equal(given.astype(np.float32), self.powers):
            return self
        curve = self.curve
        if len(self.shown):
            friendship = self.shown[:, 0].astype(np.float64)
            curve = curve_of(blend_of(given, friendship, self.shown[:, 1:].astype(np.float64)), friendship)
        return replace(self, powers=given.astype(np.float32), curve=curve)

    def save(self, directory: Path) -> None:
        """Writes both files into a `model` directory, the description last."""
        names = ("weights", "bias", "powers", "curve", "shown")
        tensors = {name: getattr(self, name) for name in names if len(getattr(self, name))}
        content = save({name: np.ascontiguousarray(one, dtype=np.float32) for name, one in tensors.items()})
        description: dict[str, Any] = {
            "heads": list(HEADS),
            "contexts": list(self.contexts),
            "among": self.among,
            "weights_sha256": hashlib.sha256(content).hexdigest(),
        }
        files.write_bytes(directory / WEIGHTS, content)
        files.write_json(directory / DESCRIPTION, description | {"digest": files.json_digest(description)})

    @classmethod
    def open(cls, directory: Path, inputs: int) -> "OutcomeHeads | None":
        """The heads of a `model` directory, None if it has none; `inputs` is the number p that the ranker reads.

        Raises ArtefactError with the file that is missing, truncated or altered.
        """
        path, weights_path = directory / DESCRIPTION, directory / WEIGHTS
        if not path.exists():
            return None
        description = files.read_json(path)
        try:
            digest = description.pop("digest")
            if files.json_digest(description) != digest:
                raise ArtefactError(f"{path} is truncated or altered: its digest does not fit")
            content = files.read_bytes(weights_path)
            if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
                raise ArtefactError(f"{weights_path} is truncated or altered: its digest is not that of {path}")
            found, contexts = load(content), tuple(description["contexts"])
            shape = (len(contexts) + 1, len(HEADS), inputs + 1)
            if tuple(description["heads"]) != HEADS or found["weights"].shape != shape:
                raise ArtefactError(f"{path} was learned from other features than the ranker's: run pymk nightly again")
            weights, bias, powers, curve = (found[name] for name in ("weights", "bias", "powers", "curve"))
            heads = cls(contexts, weights, bias, powers, curve, int(description["among"]))
            return replace(heads, shown=found["shown"]) if "shown" in found else heads
        except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ArtefactError(f"{path} is truncated or altered: {error!r}") from error


@lru_cache(maxsize=64)
def blended_heads(heads: OutcomeHeads, powers: Blend) -> OutcomeHeads:
    """OutcomeHeads.with_powers, whose curve takes about a millisecond to find, once for the same heads and powers."""
    return heads.with_powers(dict(powers))


def _surprise(odds: Float32s) -> Float32s:
    """(...) negative logarithms of the probabilities of log-odds (...), which are overwritten."""
    np.negative(odds, out=odds)
    np.exp(np.minimum(odds, _MOST, out=odds), out=odds)
    odds += 1
    return np.log(odds, out=odds)


def blend_of(powers: NDArray[np.floating], friendship: NDArray[np.floating], log_odds: Float64s) -> Float64s:
    """(...) the sum s of logarithms that the score is made of, of log-odds of a friendship (...) and of the heads
    (..., heads).
    """
    every = np.concatenate([np.asarray(friendship, np.float64)[..., None], log_odds * SIGNS], axis=-1)
    return np.asarray(-np.logaddexp(0, -every) @ powers.astype(np.float64))


def curve_of(blended: Float64s, friendship: Float64s) -> Float32s:
    """(2,) float32 slope and level of the log-odds that are the mean probability of a friendship, of log-odds
    `friendship` (m,), of all whom a blend (m,) puts as high: a logistic regression (Platt 1999), by Newton's method.
    """
    mean, scale = float(blended.mean()), max(float(blended.std()), 1e-6)
    read, wanted = (blended - mean) / scale, 1 / (1 + np.exp(-friendship))
    slope, level = 0.0, float(friendship.mean())
    for _ in range(_STEPS):
        found = 1 / (1 + np.exp(-np.clip(slope * read + level, -60, 60)))
        spread = found * (1 - found) + 1e-9
        first = float((found - wanted) @ read + _RIDGE * slope), float((found - wanted).sum())
        a, b, c = float(spread @ read**2 + _RIDGE), float(spread @ read), float(spread.sum())
        by_slope, by_level = np.linalg.solve([[a, b], [b, c]], first).tolist()
        slope, level = slope - by_slope, level - by_level
        if abs(by_slope) + abs(by_level) < 1e-9:
            break
    slope, level = slope / scale, level - slope * mean / scale
    if not slope >= LEAST_SLOPE:  # the order stays that of the blend
        slope, level = LEAST_SLOPE, float(friendship.mean()) - LEAST_SLOPE * mean
    return np.array([slope, level], np.float32)
