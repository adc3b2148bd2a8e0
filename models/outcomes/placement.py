"""The probability of each place in a draw (service.ranking.exploration.draw).

In the draw of Plackett and Luce, person i of weight w_i arrives after a time that is exponential with rate w_i; the
order of arrival is the draw. So

    P(i is in place p) = integral over t of w_i exp(-w_i t) P(p - 1 of the others have arrived by t)

where the number of the others who have arrived is a sum of independent Bernoulli variables. In x = ln t the integrand
is smooth and falls off exponentially on both sides, so that the trapezoidal rule converges exponentially (Trefethen,
Weideman 2014). For up to 100 people, with steps of _STEP between these ends, the error is below 1e-6.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled
from models.outcomes.exposure_record import DRAWS, ExposureRecord

_, _, UNIFORM = DRAWS

LARGEST_ODDS = 16.0
"""log-odds beyond which scores count as equal"""
_STEP = 0.125
_TAIL = 14.0
"""the integral reaches to where the first has arrived, and the last not, with probability exp(-_TAIL)"""
_LATE = 1e-10
"""probability of an order so late that the rest of the integral is left out"""


def propensities(record: ExposureRecord) -> NDArray[np.float32]:
    """(n,) float32: the probability that a draw puts each person of a list in the place that it has in the whole list.

    1 for those who are not drawn. Exact for uniform draws, for others but for the error of the quadrature.
    """
    found = np.ones(len(record.rows), dtype=np.float32)
    drawn = record.drawn
    if drawn is None:
        return found
    is_drawn = (drawn.places >= drawn.first) & (drawn.places < drawn.first + len(drawn.weights))
    if record.head.draw == UNIFORM:
        found[is_drawn] = 1 / len(drawn.weights)
    else:
        people, places = (array[is_drawn].astype(np.intp) - drawn.first for array in (drawn.people, drawn.places))
        found[is_drawn] = placements(drawn.weights.astype(np.float64), people, places)
    return found


def log_odds(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """(m,) the log-odds of probabilities, of which weights are multiples."""
    low = 1 / (1 + np.exp(LARGEST_ODDS))
    clipped = np.clip(scores.astype(np.float64), low, 1 - low)
    return np.asarray(np.log(clipped / (1 - clipped)))


def placements(weights: NDArray[np.float64], people: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """(n,) float32: the probability that each of some people (n,) is drawn for the place (n,) beside it.

    `weights` (m,) are logarithms; people and places count from 0.
    """
    weights = weights - weights.max()
    tail = _TAIL + math.log(len(weights))
    found = np.zeros(len(people), dtype=np.float64)
    nodes = np.exp(np.arange(-tail, math.log(tail) - float(weights.min()), _STEP))
    _placements(np.exp(weights), people, places, nodes, found)
    return np.clip(found, 0, 1).astype(np.float32)


@compiled()
def _placements(
    rates: NDArray[np.float64],
    people: NDArray[np.intp],
    places: NDArray[np.intp],
    nodes: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Adds the probabilities to `found` (n,), which is 0; `rates` (m,), `nodes` the times t."""
    m, count = len(rates), len(people)
    arrived, before, others = np.empty(m + 1), np.empty(m + 1), np.empty(m + 1)
    last = places.max() if count else 0
    for node in range(len(nodes)):
        t = nodes[node]
        # how many of all have arrived by t
        arrived[0] = 1.0
        for at in range(m):
            late = math.exp(-rates[at] * t)
            early = 1.0 - late
            before[: at + 1] = arrived[: at + 1]
            arrived[0] = before[0] * late
            arrived[at + 1] = before[at] * early
            for k in range(1, at + 1):
                arrived[k] = before[k] * late + before[k - 1] * early
        if arrived[: last + 2].sum() < _LATE:
            break
        # and of all but one: the factor of that one is divided out, from the end where that is stable
        for one in range(count):
            rate, place = rates[people[one]], places[one]
            late = math.exp(-rate * t)
            early = 1.0 - late
            if late >= 0.5:
                factor = 1.0 / late
                others[0] = arrived[0] * factor
                for k in range(1, place + 1):
                    others[k] = (arrived[k] - others[k - 1] * early) * factor
            else:
                factor = 1.0 / early
                others[m - 1] = arrived[m] * factor
                for k in range(m - 2, place - 1, -1):
                    others[k] = (arrived[k + 1] - others[k + 1] * late) * factor
            found[one] += _STEP * rate * t * late * others[place]
