"""Outcomes of lists whose treatment floods a few popular people, who cannot answer everybody."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from models.experiments.assignment import arms_of, held_out
from models.experiments.experiment import Experiment

START = datetime(2026, 11, 1, tzinfo=UTC)
PLACES, POPULAR, ANSWERED = 10, 40, 25


def people_of(n: int) -> list[str]:
    """The ids of n people; the first POPULAR of them are popular."""
    return [f"p{at:05}" for at in range(n)]


def outcomes_of(
    experiment: Experiment, people: list[str], days: int = 10, before: int = 10, seed: int = 0
) -> pl.DataFrame:
    """Outcomes of one list a day for every person, `before` days without and then `days` with the experiment.

    In a treated list half the places go to popular people who are not held out, and viewers invite popular people three
    times as often. A person answers ANSWERED invitations.
    """
    random, n = np.random.default_rng(seed), len(people)
    treated = np.array([arm == "treatment" for arm in arms_of(experiment, people)])
    held = held_out(experiment, people)
    eager = random.gamma(2.0, 0.05, size=n)
    frames = []
    for day in range(-before, days):
        shown = random.integers(n, size=(n, PLACES))
        if day >= 0:
            popular = np.flatnonzero(~held[:POPULAR])
            drawn = popular[random.integers(len(popular), size=(n, PLACES))]
            replaced = treated[:, None] & (np.arange(PLACES) % 2 == 0)[None, :] & ~held[shown]
            shown = np.where(replaced, drawn, shown)
        invited = random.random((n, PLACES)) < np.clip(eager[:, None] * np.where(shown < POPULAR, 3, 1), 0, 1)
        frames.append((day, shown, invited))
    # whoever got more invitations than they answer accepts as many
    received = np.zeros(n)
    for _, shown, invited in frames:
        received += np.bincount(shown[invited], minlength=n)
    willing = 0.6 * np.minimum(1, ANSWERED / np.maximum(received, 1))
    tables = []
    for day, shown, invited in frames:
        accepted = invited & (random.random((n, PLACES)) < willing[shown])
        rows = n * PLACES
        never = np.zeros(rows, dtype=bool)
        ids = np.array(people)
        tables.append(
            pl.DataFrame(
                {
                    "request_id": np.repeat([f"{day}-{at}" for at in range(n)], PLACES),
                    "at": [START + timedelta(days=day, hours=12)] * rows,
                    "viewer": np.repeat(ids, PLACES),
                    "candidate": ids[shown.ravel()],
                    "clicked": invited.ravel(),
                    "invited": invited.ravel(),
                    "accepted": accepted.ravel(),
                    **dict.fromkeys(("declined", "dismissed", "blocked", "reported"), never),
                }
            )
        )
    return pl.concat(tables)
