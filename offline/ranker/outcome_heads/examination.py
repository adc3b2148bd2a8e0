"""How far down viewers look: the probability that the person in a place is looked at.

It is taken to fall as a power of the place, e(p) = p^-eta, the same for everybody and in all contexts, and what a
viewer does with somebody to depend on the place only through the look (position-based model: Richardson and others, WWW
2007; Craswell and others, WSDM 2008). Whoever is clicked, invited or dismissed was looked at, so that these outcomes
together estimate eta.

Lists whose people were drawn in a uniform order have the same people in every place on average: there eta follows from
the rates by place alone, among lists that are alike. Long lists alone have far places, so the context and the length
of a list are told apart. Without enough of them, eta and a model of the outcome by the ranker's inputs are fitted
together on all lists (Wang and others, WSDM 2018), which takes the model to say what people the higher places hold.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.arrays import Float64s

MOST_ETA = 3.0

How = Literal["uniform", "modelled"]


@dataclass(frozen=True)
class Examination:
    """e(p) = p^-eta."""

    eta: float
    how: How
    """uniform: from lists drawn uniformly; modelled: from all lists, beside a model of the outcome"""

    def of(self, places: NDArray[np.integer]) -> Float64s:
        """(m,) probability that the person in each place (m,), from 1, is looked at."""
        return np.asarray(places.astype(np.float64) ** -self.eta)


def examination_of(
    acted: NDArray[np.bool_],
    places: NDArray[np.integer],
    inputs: Float64s | None,
    weights: Float64s,
    how: How = "modelled",
    penalty: float = 3.0,
    steps: int = 200,
) -> Examination:
    """The examination that explains who was acted on (m,), by place (m,) and `inputs` (m, k), standardised.

    What else tells the people of one place from those of another is for `inputs` to say; without them all are taken to
    be alike. Each row stands for `weights` (m,) people.
    """
    read = np.ones((len(acted), 1)) if inputs is None else np.column_stack([inputs, np.ones(len(acted))])
    far, pulls = np.log(places.astype(np.float64)), np.full(read.shape[1], penalty)
    pulls[-1] = 0

    def loss(values: Float64s) -> tuple[float, Float64s]:
        odds, eta = read @ values[:-1], values[-1]
        looked, probable = np.exp(-eta * far), 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
        chance = np.clip(looked * probable, 1e-12, 1 - 1e-9)
        value = -weights @ np.where(acted, np.log(chance), np.log1p(-chance)) + (pulls * values[:-1] ** 2).sum() / 2
        by_log_chance = weights * np.where(acted, -1.0, chance / (1 - chance))
        slope = read.T @ (by_log_chance * (1 - probable)) + pulls * values[:-1]
        return float(value), np.append(slope, -(by_log_chance * far).sum())

    start = np.zeros(read.shape[1] + 1)
    start[-2], start[-1] = np.log(max(acted.mean(), 1e-6)), 0.5
    bounds = [(None, None)] * read.shape[1] + [(0.0, MOST_ETA)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
    return Examination(float(best[-1]), how)
