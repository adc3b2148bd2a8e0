"""What each answered column of a profile is worth to a newcomer, by the lists of cold starts."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.cold_start.cold_start import ColdStart
from models.cold_start.network import Network
from models.cold_start.spread import Spread
from models.graph import Graph
from offline.evaluation import metrics
from offline.evaluation.bootstrap import RESAMPLES, Interval, interval, ratio_interval, resampled_means
from offline.evaluation.exposure import Exposure, exposure

PLACES = 20
NOTHING, ASKED, RANDOM, ALL = "nothing", "the column asked for", "a random column", "all columns"
"""what newcomers have answered"""


class ProfileAnswers(BaseModel):
    """Recall of newcomers' friends in the first 20 places of a cold start, by what the newcomers have answered."""

    model_config = ConfigDict(frozen=True)

    users: int
    ask: str | None
    """the column that people of whom nothing is known are asked for; None: no question is worth it"""

    recall: dict[str, Interval]
    """of `nothing`, `the column asked for`, `a random column` (the mean over all columns) and `all columns`; who has no
    value of a column has answered nothing"""

    columns: dict[str, Interval]
    """by column, with that column alone"""

    gains: dict[str, float]
    """by column, the friends that the version expects it to bring into the first 20 places"""

    ratio: Interval | None
    """of the recall with the column asked for to that with a random column; None if there is no such recall"""

    exposure: Exposure
    """of the lists with all columns"""


def profile_answers(
    network: Network,
    newcomers: NDArray[np.int64],
    friends: Graph,
    people: NDArray[np.bool_],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ProfileAnswers | None:
    """Judges the cold starts of `newcomers` (U,) of a network that has none of their friendships.

    `friends` has their friendships, at least one of each; `people` (n,) are those whom the version knows. None without
    a newcomer or a categorical column.
    """
    if not len(newcomers) or not network.columns:
        return None
    newcomers = np.random.default_rng(seed).permutation(newcomers)
    cold, codes = ColdStart(network, people), network.codes[newcomers]
    ask = cold.questions.best()

    def lists(answered: Callable[[int], bool]) -> NDArray[np.int32]:
        kept = np.array([answered(column) for column in range(len(network.columns))])
        spread = Spread(network.graph.n)  # as in a process that serves these newcomers alone, in this order
        return np.stack(
            [_best(cold, spread, at, np.where(kept, own, -1).astype(np.int32)) for at, own in enumerate(codes)]
        )

    # lists by what was answered, and how many friends each holds
    whole = lists(lambda column: True)
    answers = {NOTHING: lists(lambda column: False), ALL: whole}
    answers |= {name: lists(lambda column, at=at: column == at) for at, name in enumerate(network.columns)}  # type: ignore[misc]
    made = friends.degrees[newcomers]
    found = {
        name: metrics.recall((rows >= 0) & friends.contains(newcomers[:, None], rows), made, PLACES)
        for name, rows in answers.items()
    }
    found[ASKED] = found[NOTHING if ask is None else ask]
    found[RANDOM] = np.mean([found[name] for name in network.columns], axis=0)
    # means with their intervals
    names = list(found)
    table = np.stack([found[name] for name in names], axis=1)
    means, resampled = table.mean(axis=0), resampled_means(table, resamples, seed)
    by_name = {name: interval(float(means[at]), resampled[:, at]) for at, name in enumerate(names)}
    one, base = names.index(ASKED), names.index(RANDOM)
    return ProfileAnswers(
        users=len(newcomers),
        ask=ask,
        recall={name: by_name[name] for name in (NOTHING, ASKED, RANDOM, ALL)},
        columns={name: by_name[name] for name in network.columns},
        gains=cold.questions.gains(),
        ratio=ratio_interval(float(means[one]), float(means[base]), resampled[:, one], resampled[:, base]),
        exposure=exposure(whole, network.graph.degrees, network.suggestible & people),
    )


def _best(cold: ColdStart, spread: Spread, viewer: int, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """(PLACES,) the list of a profile, -1 past its end."""
    found = cold.candidates(codes)
    shares = spread.shares(viewer, found.rows, found.shares, int((codes >= 0).sum()))
    order = np.lexsort((found.rows, -shares))[:PLACES]
    best = np.full(PLACES, -1, np.int32)
    best[: len(order)] = found.rows[order]
    return best
