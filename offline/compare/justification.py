"""Whether a clever row earns its keep beside a simple one."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from offline.evaluation.bootstrap import Interval, interval, resampled_means

FUSIONS_BY_COST: Final = ("weighted_average", "mlp", "two_tower", "moe", "linucb", "dqn")
"""the simplest first: numbers learnt, then what must be run and logged to learn them"""


class Verdict(BaseModel):
    """A clever row against the best of the simpler ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clever: str
    simple: str
    gain: Interval
    """mean of the clever row's figure less the simple one's, over the same people"""
    is_justified: bool
    """whether all of the interval lies above 0"""

    def __str__(self) -> str:
        if self.is_justified:
            return f"{self.clever} gains {self.gain} on {self.simple}"
        return f"{self.clever} is not justified: {self.simple} does as well ({self.gain})"


def verdicts(
    figures: Mapping[str, NDArray[np.float64]], order: Sequence[str] = FUSIONS_BY_COST, *, seed: int = 0
) -> list[Verdict]:
    """What each row of the order but the first is worth, of figures such as NDCG by user, (u,) each, same users.

    A row is held against the best by mean of those before it. Rows without figures are passed over.
    """
    there = [name for name in order if name in figures]
    told = []
    for at, clever in enumerate(there[1:], 1):
        simple = max(there[:at], key=lambda name: float(figures[name].mean()))
        gain = figures[clever] - figures[simple]
        sure = interval(float(gain.mean()), resampled_means(gain[:, None], seed=seed)[:, 0])
        told.append(Verdict(clever=clever, simple=simple, gain=sure, is_justified=sure.low > 0))
    return told
