"""Reads the outcomes of a home and learns heads from them, for the ranker of a night."""

from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.live_state.erased_ids import read_erased
from models.networks.ranker_head import RankerHead
from models.outcomes.exposure_files import ExposureFiles
from models.ranker.ranker import list_mass
from models.schema.statistic_names import LOG_DEGREE
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us
from offline.outcomes.join import DAY_US, Windows
from offline.outcomes.table import outcomes_of
from offline.ranker.outcome_heads.config import OutcomesConfig
from offline.ranker.outcome_heads.learn import LearnedHeads, learn_heads
from offline.ranker.outcome_heads.table import OutcomeTable, outcome_table
from offline.steps.stages import stage

_AT_ONCE = 65_536
Floats = NDArray[np.float32]

log = structlog.get_logger(__name__)


def learn_outcomes(
    home: Path, store: SyncStore, keys: Keys, windows: Windows, ranker: RankerHead | None, config: OutcomesConfig
) -> LearnedHeads:
    """The heads for a ranker, or none, and why.

    The table is kept in memory alone, and has nobody who was erased by now. Raises ArtefactError if the event archive
    lacks entries, StoreError if the store does not answer.
    """
    if not config.learn:
        return LearnedHeads.nothing("links alone: outcomes.learn is false")
    if ranker is None:
        return LearnedHeads.nothing("links alone: resource allocation ranks, beside which nothing is learned")
    if not ExposureFiles(home).all():
        return LearnedHeads.nothing(
            "links alone: no list that was given out is filed (PYMK_EXPOSURE_SHARE, pymk worker)"
        )
    now = now_us()
    outcomes = outcomes_of(home, store, keys, windows, since=max(now - round(config.days * DAY_US), 0), now=now)
    every = outcome_table(outcomes, read_erased(store, keys), ranker.config.viewer_inputs)
    table = every.thinned(config.most_rows, config.seed)
    with stage("outcomes", shown=len(table)):
        logits = ranker_logits(ranker, table)
        odds = friendship_log_odds(ranker, table, logits)
        slope, scale = float(ranker.calibration[0]), ranker.scale.numpy()
        return learn_heads(table, logits, odds, slope, scale, config, log=log)


@torch.no_grad()
def ranker_logits(ranker: RankerHead, table: OutcomeTable) -> Floats:
    """(m,) what the ranker says of each row now, whatever it said when the list was given out."""
    parts = [
        ranker(torch.from_numpy(table.inputs[start : start + _AT_ONCE])).numpy()
        for start in range(0, len(table), _AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def friendship_log_odds(ranker: RankerHead, table: OutcomeTable, logits: Floats) -> Floats:
    """(m,) log-odds of a friendship by the ranker's calibration, which reads the mass of a list's best: here of those
    of them who were shown.
    """
    if not len(table):
        return np.zeros(0, np.float32)
    slope, level, by_degree, by_mass = ranker.calibration.tolist()
    degree = table.inputs[:, table.inputs.shape[1] - ranker.config.viewer_inputs + LOG_DEGREE]
    order = np.argsort(table.lists, kind="stable")
    starts = np.flatnonzero(np.diff(table.lists[order], prepend=-1))
    masses = np.array([list_mass(own) for own in np.split(logits[order], starts[1:])])
    mass = np.empty(len(table))
    mass[order] = np.repeat(masses, np.diff(np.append(starts, len(table))))
    return np.asarray(slope * logits + level + by_degree * degree + by_mass * mass, dtype=np.float32)
