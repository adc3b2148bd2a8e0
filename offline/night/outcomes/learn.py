"""Reads the outcomes of a home and learns heads from them, for the ranker of a night."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.arrays import Float32s
from models.live_state.erased_ids import read_erased
from models.networks.ranker_head import RankerHead
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.viewer_sample import ViewerSample
from models.ranker.ranker import MASS_OF
from models.schema.statistic_names import LOG_DEGREE
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import DAY_US, now_us
from offline.evaluation.outcomes.learned import LearnedOutcomes
from offline.night.outcomes.logged_parity import logged_parity
from offline.night.outcomes.viewers_read import viewers_read
from offline.outcomes.join import Windows
from offline.outcomes.table import outcomes_of
from offline.ranker.outcome_heads.config import OutcomesConfig
from offline.ranker.outcome_heads.learn import LearnedHeads, learn_heads
from offline.ranker.outcome_heads.table import OutcomeTable, outcome_table
from offline.steps.stages import stage

_AT_ONCE = 65_536

log = structlog.get_logger(__name__)


def learn_outcomes(
    home: Path,
    store: SyncStore,
    keys: Keys,
    windows: Windows,
    forbidden_days: int,
    ranker: RankerHead | None,
    config: OutcomesConfig,
) -> LearnedHeads:
    """The heads for a ranker, or none, and why.

    Nothing is learned where lists were scored by other features than the night finds, with a pair that may be shown
    again `forbidden_days` after a decline. Of a log above `config.most_read` the lists of a sample of the viewers are
    read. The table is kept in memory alone, and has nobody who was erased by now.
    Raises ArtefactError if the event archive lacks entries, StoreError if the store does not answer.
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
    since = max(now - round(config.days * DAY_US), 0)
    sample = viewers_read(home, since, config.most_read)
    outcomes = outcomes_of(home, store, keys, windows, since=since, now=now, sample=sample)
    parity = logged_parity(home, store, keys, outcomes, forbidden_days, now)
    if parity is not None and not parity.agrees:
        log.warning("features_differ", said=parity.said)
        said = f"links alone: only {parity.said}; pymk outcomes --parity compares more of them"
        return LearnedHeads(None, LearnedOutcomes(learned=False, said=said, parity=parity, viewers_read=sample.share))
    table = outcome_table(outcomes, read_erased(store, keys), ranker.config.viewer_inputs)
    del outcomes
    with stage("outcomes", shown=len(table)):
        logits = ranker_logits(ranker, table)
        odds = friendship_log_odds(ranker, table, logits)
        slope, scale = float(ranker.calibration[0]), ranker.scale.numpy()
        found = learn_heads(table, logits, odds, slope, scale, config, log=log)
    said = f"{found.report.said}{_of_sample(sample)}"
    update = {"parity": parity, "viewers_read": sample.share, "said": said}
    return replace(found, report=found.report.model_copy(update=update))


def _of_sample(sample: ViewerSample) -> str:
    """That not everybody's lists were read, in words; nothing where they were."""
    return "" if sample.share >= 1 else f"; read of {sample.share:.1%} of the viewers (outcomes.most_read, --memory)"


def mass_of_lists(lists: NDArray[np.int64], logits: Float32s) -> NDArray[np.float64]:
    """(m,) the mass of the list of each row, as models.ranker.ranker.list_mass has it of one list."""
    order = np.lexsort((-logits, lists))
    starts = np.flatnonzero(np.diff(lists[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(lists)))
    own = logits[order].astype(np.float64)
    best = np.repeat(own[starts], lengths)
    is_counted = np.arange(len(lists)) - np.repeat(starts, lengths) < MASS_OF
    sums = np.add.reduceat(np.exp(own - best) * is_counted, starts)
    mass = np.empty(len(lists))
    mass[order] = np.repeat(own[starts] + np.log(sums / np.minimum(lengths, MASS_OF)), lengths)
    return mass


@torch.no_grad()
def ranker_logits(ranker: RankerHead, table: OutcomeTable) -> Float32s:
    """(m,) what the ranker says of each row now, whatever it said when the list was given out."""
    parts = [
        ranker(torch.from_numpy(table.inputs[start : start + _AT_ONCE])).numpy()
        for start in range(0, len(table), _AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def friendship_log_odds(ranker: RankerHead, table: OutcomeTable, logits: Float32s) -> Float32s:
    """(m,) log-odds of a friendship by the ranker's calibration, which reads the mass of a list's best: here of those
    of them who were shown.
    """
    if not len(table):
        return np.zeros(0, np.float32)
    slope, level, by_degree, by_mass = ranker.calibration.tolist()
    degree = table.inputs[:, table.inputs.shape[1] - ranker.config.viewer_inputs + LOG_DEGREE]
    mass = mass_of_lists(table.lists, logits)
    return np.asarray(slope * logits + level + by_degree * degree + by_mass * mass, dtype=np.float32)
