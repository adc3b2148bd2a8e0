"""Logs of viewers whose tastes are known, who look at the first places more than at later ones."""

import numpy as np
from numpy.typing import NDArray

from offline.ranker.outcome_heads.table import OutcomeTable

PLACES = 10
ETA = 0.8
TASTES = {"invited": (-1.5, 1.0, -0.8), "accepted": (0.2, 0.0, 0.7), "dismissed": (-2.5, -0.5, 0.6)}
"""by head: log-odds for somebody who is looked at, and more for each unit of the ranker's logit and the second input"""


def log_of(
    lists: int,
    seed: int,
    *,
    uniform: float = 0.0,
    eta: float = ETA,
    emails: float = 0.0,
    in_email: float = 0.0,
    tastes: dict[str, tuple[float, float, float]] | None = None,
) -> tuple[OutcomeTable, NDArray[np.float32]]:
    """The table of so many lists, and the ranker's logits (m,), by which all but a share of lists are sorted.

    Of two inputs the first makes up half of the logit, and viewers go by the second. In a share `emails` of the lists
    they invite by `in_email` more for each unit of the second input.
    """
    random, tastes = np.random.default_rng(seed), tastes or TASTES
    inputs = random.normal(size=(lists, PLACES, 2)).astype(np.float32)
    logits = inputs[..., 0] + random.normal(0, 0.8, (lists, PLACES)).astype(np.float32)
    is_uniform = random.random(lists) < uniform
    order = np.argsort(np.where(is_uniform[:, None], random.random(logits.shape), -logits), axis=1)
    inputs = np.take_along_axis(inputs, order[..., None], axis=1).reshape(-1, 2)
    logits = np.take_along_axis(logits, order, axis=1).reshape(-1)
    places = np.tile(np.arange(1, PLACES + 1), lists)
    is_email = np.repeat(random.random(lists) < emails, PLACES)

    def happens(name: str, more: NDArray[np.floating] | float = 0.0) -> NDArray[np.bool_]:
        level, by_logit, by_second = tastes[name]
        odds = level + by_logit * logits + (by_second + more) * inputs[:, 1]
        return np.asarray(random.random(len(odds)) < 1 / (1 + np.exp(-odds)))

    looked = random.random(len(places)) < places**-eta
    invited = looked & happens("invited", np.where(is_email, in_email, 0.0))
    dismissed = looked & ~invited & happens("dismissed")
    viewers = np.repeat(random.integers(max(lists // 5, 1), size=lists), PLACES)
    table = OutcomeTable(
        lists=np.repeat(np.arange(lists), PLACES),
        viewers=viewers,
        inputs=inputs,
        places=places,
        contexts=np.where(is_email, 0, 1) if emails else np.zeros(len(places), np.int64),
        context_names=("email", "web") if emails else ("web",),
        is_uniform=np.repeat(is_uniform, PLACES),
        acted=invited | dismissed,
        invited=invited,
        accepted=invited & happens("accepted"),
        dismissed=dismissed,
        weights=np.ones(len(places)),
    )
    return table, logits
