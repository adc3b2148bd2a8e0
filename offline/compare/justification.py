"""Decides whether a complex fusion is justified: whether it beats a simple one by more than chance."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from offline.evaluation.bootstrap import Interval, interval, resampled_means


class Verdict(BaseModel):
    """A row compared with a simpler one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str
    base: str
    gain: Interval
    """mean of the row's NDCG@20 minus the base's, over the same users"""

    @property
    def is_justified(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.gain.low > 0

    def __str__(self) -> str:
        justified = "is justified" if self.is_justified else "is not justified"
        gain = f"{self.gain.value:+.4f} [{self.gain.low:+.4f}, {self.gain.high:+.4f}]"
        return f"{self.row} {justified}: NDCG@20 {gain} against {self.base}"


def verdicts(ndcg: Mapping[str, NDArray[np.float64]], base: str) -> list[Verdict]:
    """The verdict on every row but `base`, from the rows' NDCG@20 by user, (u,) each, over the same users."""
    found = []
    for row in ndcg:
        if row != base:
            gain = ndcg[row] - ndcg[base]
            sure = interval(float(gain.mean()), resampled_means(gain[:, None])[:, 0])
            found.append(Verdict(row=row, base=base, gain=sure))
    return found
