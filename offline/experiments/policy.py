"""The policy that `pymk outcomes --evaluate` judges: a version, and the settings that make lists of its scores.

A settings file is what an arm of an experiment may change, without a table around it:

version = "20261101T000000Z-0a1b2c"   # default: the active version
outcome_blend = "accepted:2"
diversity_most = 5
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.arrays import Float64s
from models.errors import UsageError
from models.experiments.experiment import BLEND, VERSION, ArmSettings
from models.outcomes.placement import log_odds, placements
from models.setting_texts import ContextLimit
from models.settings import Settings
from models.system.toml_file import read_model

UNJUDGED = {
    "fatigue_factor": "the log does not say how often a list would have shown somebody before",
    "fatigue_limit": "the log does not say how often a list would have shown somebody before",
    "exploration_boost": "the log does not say who was hardly ever shown",
    "exploration_hold_minutes": "how long a draw stays changes no probability",
}
"""settings of an arm that logged lists cannot judge, and why"""


@dataclass(frozen=True, slots=True)
class Draws:
    """How a policy draws its lists (service.ranking.exploration.draw); by default it does not."""

    temperature: float = 0.0
    fixed: int = 3
    uniform_share: float = 0.0
    best: int = 50

    @property
    def is_on(self) -> bool:
        """Whether any list is drawn."""
        return self.temperature > 0 or self.uniform_share > 0

    def shares(self, scores: Float64s, eligible: int, places: int) -> Float64s:
        """(places, n) the probability of each person of a list (n,), best first, in each of its first places; the first
        `eligible` people may be drawn.
        """
        n = len(scores)
        m = min(self.best, eligible, n)
        first = min(self.fixed, m)
        sorted_, sampled, uniform = (np.eye(places, n) for _ in range(3))
        drawn = np.arange(first, min(m, places))
        if self.temperature > 0 and m - first > 1 and len(drawn):
            people, at = np.arange(m - first), drawn - first
            weights = log_odds(scores[first:m]) / self.temperature
            found = placements(weights, np.tile(people, len(at)), np.repeat(at, len(people)))
            sampled[drawn, first:m] = found.reshape(len(at), -1)
        else:
            sampled = sorted_
        if m > 1:
            uniform[: min(m, places), :m] = 1 / m
        return np.asarray(self.uniform_share * uniform + (1 - self.uniform_share) * sampled)


NO_DRAWS = Draws()


@dataclass(frozen=True)
class Rules:
    """The soft rules of a policy, and the powers of its score."""

    diversity_column: str = ""
    diversity_most: int = 20
    suspicious: str = "off"
    """off, demote or drop"""
    suspicious_above: float = 0.99
    contexts: Mapping[str, ContextLimit] = field(default_factory=dict)
    blend: Mapping[str, float] = field(default_factory=dict)
    """powers of heads of outcomes; those that are missing are the version's"""


@dataclass(frozen=True)
class Policy:
    """What is judged."""

    version: str
    rules: Rules
    draws: Draws = NO_DRAWS
    changed: Mapping[str, Any] = field(default_factory=dict)
    """the settings that differ from the installation's, by name"""

    @classmethod
    def of(cls, version: str, settings: Settings, changed: Mapping[str, Any] | None = None) -> "Policy":
        """A version with the settings of an installation, some of which are changed.

        Lists are drawn only as the changes say: what earns most is asked of lists in their order.
        """
        changed = dict(changed or {})
        own = settings.model_copy(update=changed)
        rules = Rules(
            own.diversity_column,
            own.diversity_most,
            own.suspicious,
            own.suspicious_above,
            own.context_limits,
            own.outcome_blend,
        )
        plain = {"temperature": 0.0, "uniform_share": 0.0, "fixed": own.exploration_fixed, "best": own.exploration_best}
        prefix = "exploration_"
        drawn = {name.removeprefix(prefix): value for name, value in changed.items() if name.startswith(prefix)}
        return cls(version, rules, Draws(**plain | drawn), changed)

    @classmethod
    def read(cls, path: Path, settings: Settings, active: str | None) -> "Policy":
        """The policy of a settings file, of the active version unless it names one.

        Raises UsageError with the file, line and key of what is wrong, or cannot be judged from logged lists.
        """
        given = read_model(path, ArmSettings)
        named = given.model_fields_set - {VERSION}
        changed = {name: getattr(given, name) for name in sorted(named) if getattr(given, name) is not None}
        for name in changed:
            if name in UNJUDGED:
                raise UsageError(f"{path}: {name} cannot be judged from logged lists: {UNJUDGED[name]}; leave it out")
        version = given.version or active
        if version is None:
            raise UsageError(f"{path} names no version, and none is active; add version = ..., from pymk versions")
        return cls.of(version, settings, changed)


def in_words(version: str, changed: Mapping[str, Any]) -> str:
    """A version and what is changed of the settings, for a terminal."""
    told = [f"{name} = {_said(name, value)}" for name, value in changed.items()]
    return version if not told else f"{version} with {', '.join(told)}"


def _said(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        parts = value.items() if name == BLEND else ((at, ":".join(map(str, one))) for at, one in value.items())
        return ",".join(f"{at}:{one}" for at, one in parts)
    return str(value)
