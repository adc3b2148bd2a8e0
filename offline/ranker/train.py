"""Training the ranker on candidates whose outcome is known."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger
from torch import Tensor
from torch.nn import functional

from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.ranker.ranker import list_mass
from models.schema.pair_features import EXTRA_INPUTS, PAGERANK, PAIR_FEATURES, PRODUCT, extra_input_names
from models.schema.statistic_names import LOG_DEGREE
from offline.evaluation.metrics import ndcg_of_lists
from offline.ranker.calibration import fit_curve
from offline.ranker.config import RankerConfig
from offline.ranker.linear import fit_linear
from offline.ranker.starting_weights import (
    LEAST_EVIDENCE,
    ONE_INPUT,
    beats,
    begin_with,
    clear_unused,
    order_by,
    standardise,
    statistics_know_dates,
)
from offline.ranker.training_lists import Purpose, TrainingLists, validation_split
from offline.training.processes import ALONE, Processes
from offline.training.repeatable import repeatable
from offline.training.resume import RunState, read_state

SCORED_AT_ONCE = 64
"""lists whose candidates are scored at a time, outside training"""
LOG: FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TrainedRanker:
    """The ranker with the best weights seen, calibrated, in evaluation mode on the CPU."""

    model: RankerHead
    metrics: dict[str, float] = field(default_factory=dict)


@repeatable()
def train_ranker(
    lists: TrainingLists,
    statistics: NDArray[np.float32],
    prior: NDArray[np.float32],
    config: RankerConfig,
    former: RankerHead | None = None,
    *,
    log: FilteringBoundLogger = LOG,
    state: Path | None = None,
    processes: Processes = ALONE,
) -> TrainedRanker:
    """The ranker that puts the friendships of `lists` first.

    `statistics` (g n, s) float32 are those of every user in each of the g graphs that lists were made in. A viewer's
    lists are for validation in every graph or in none.
    Training starts from `prior`, the pre-ranking weights; where the head learns, from the ranker `former`, if that has
    its shape and does better in the validation, and where friendships have dates, `former` then stays. The loss is the
    softmax cross-entropy of each viewer's list, spread evenly over the friendships in it (ListNet's top one, Cao and
    others 2007); randomly drawn candidates represent those not drawn (sampled softmax, Jean and others 2015). Training
    stops by steps or by validation, never by the clock. `state` is the directory of the state that a killed run resumes
    from. Several processes call this with the same arguments but `log` and `state`, which rank 0 alone has; each learns
    from a part of every step's lists, and all return the same ranker, that of one process within rounding. Raises
    ValueError if fewer than two lists hold a friendship: one to learn from and one to stop by.
    """
    # lists to learn from and to validate with
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    useful = np.flatnonzero(lists.outcomes.any(axis=1) & (lists.purpose != Purpose.CALIBRATION))
    if len(useful) < 2:
        raise ValueError(f"a ranker learns from two lists that hold a friendship or more, not from {len(useful)}")
    validation, training = validation_split(lists, useful, config, random, only_first=statistics_know_dates(statistics))
    shape = RankerHeadConfig(
        pair_features=PAIR_FEATURES,
        extra_inputs=len(extra_input_names(statistics.shape[1])),
        viewer_inputs=statistics.shape[1],
    )

    # weights
    model = RankerHead(shape)
    run = _Run(model, training, validation, statistics, config, random, processes)
    begin_with(model, prior)
    if state is not None:
        state.mkdir(parents=True, exist_ok=True)
        run.resumes_from, run.name = state, _digest(lists, statistics, prior, config, former)
    run.former = former
    metrics = run.fit(log)

    # what no score depends on is not published
    clear_unused(model)

    # probabilities
    model.eval()
    calibrating = lists.take(np.flatnonzero(lists.purpose == Purpose.CALIBRATION))
    if not calibrating.outcomes.any():
        calibrating = validation.take(np.flatnonzero(validation.purpose == Purpose.ORDINARY))
    model.calibration.copy_(torch.from_numpy(run.calibration(calibrating if len(calibrating) else validation)))
    return TrainedRanker(model, metrics)


class _Run:
    """One training run."""

    def __init__(
        self,
        model: RankerHead,
        training: TrainingLists,
        validation: TrainingLists,
        statistics: NDArray[np.float32],
        config: RankerConfig,
        random: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.config, self.random, self.processes = model, config, random, processes
        self.learning: Callable[..., Tensor] = model
        """the model, as the steps of several processes call it"""
        self.resumes_from: Path | None = None
        """directory of the state after the last epoch"""
        self.name = ""
        """of the run whose state that is"""
        self.former: RankerHead | None = None
        """a ranker that the head may begin with"""
        self.statistics = statistics
        self.training, self.validation = training, validation
        sample = training.take(random.permutation(len(training))[:300])
        inputs = sample.pair_inputs(self.statistics)[sample.in_use]
        standardise(model.mean, model.scale, inputs)
        friends = float(np.median(np.expm1(self.statistics[training.at_viewers, LOG_DEGREE])))
        self.is_dated = statistics_know_dates(self.statistics)
        self.is_linear = self.is_dated or friends < config.sparse_friends
        """whether only the linear map past the head learns"""

    def fit(self, log: FilteringBoundLogger) -> dict[str, float]:
        """Trains the head; keeps the best weights of the validation.

        If users have few friends, the head does not learn, only the linear map past it; its weights of the
        candidate's degree, and of PageRank, which grows with it, are drawn back towards the prior: friendships hidden
        at random are those of the well connected, later ones are not. If friendships have dates, the linear map is
        fitted at once, and nothing else learns: other viewers of the same window made the same friends, so that the
        validation would prefer what knows these by heart; few friendships fit it badly, so that the former ranker stays
        if that does better. A ranker that one of its inputs alone beats in the validation
        beyond chance is replaced by the order of that input.
        """
        begun = float(self._ndcg().mean())
        log.info("ranker_begins", viewers=len(self.training), linear=self.is_linear, ndcg20=round(begun, 4))
        if self.is_dated:
            fitted, epochs = self._fit_linear(log), 0
            warm = self._former_if_better(fitted, log)
            head = fitted if warm is None else warm
        else:
            warm = None if self.is_linear else self._former_if_better(begun, log)
            head, epochs = self._fit_head(begun if warm is None else warm, log)
        metrics = {"prior_ndcg20": begun, "head_ndcg20": head, "linear": float(self.is_linear)}
        metrics |= {"warm": float(warm is not None)}
        metrics |= {"epochs": float(epochs), "viewers": float(len(self.training))}
        metrics |= self._replace_if_beaten(log)
        return metrics | self._of_product(log)

    def _former_if_better(self, own: float, log: FilteringBoundLogger) -> float | None:
        """Takes the former ranker if its NDCG, which is returned, is above `own`, that of these weights; else None."""
        if self.former is None or self.former.config != self.model.config:
            return None
        weights = copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(self.former.state_dict())
        found = float(self._ndcg().mean())
        is_better = found > own
        log.info("warm_start", of="ranker", former=round(found, 4), own=round(own, 4), kept=is_better)
        if is_better:
            return found
        self.model.load_state_dict(weights)
        return None

    def _fit_head(self, begun: float, log: FilteringBoundLogger) -> tuple[float, int]:
        """Trains the head from the prior, whose NDCG is `begun`; returns its NDCG and the epochs."""
        rate = self.config.linear_learning_rate if self.is_linear else self.config.learning_rate
        prior = self.model.past.weight.detach().clone()
        head, epochs = self._stage(begun, rate, log=log)
        if self.is_linear:
            drawn_back = self._of_degrees() * self.config.linear_prior
            with torch.no_grad():
                self.model.past.weight.lerp_(prior, drawn_back)
            head = float(self._ndcg().mean())
        return head, epochs

    def _fit_linear(self, log: FilteringBoundLogger) -> float:
        """Fits the linear map at once; keeps the prior if that is better in the validation, beyond chance.

        Returns the NDCG of the one that is kept.
        """
        model = self.model
        before, prior = self._ndcg(), model.past.weight.detach().clone()
        weights = fit_linear(
            self.training, self.statistics, model.mean, model.scale, self.config, self.random, self.processes
        )
        with torch.no_grad():
            model.past.weight[0] = weights
            fitted = self._ndcg()
            worse = beats(before, fitted, self.config.evidence_errors)
            if worse:
                model.past.weight.copy_(prior)
        log.info(
            "ranker_linear",
            ndcg20=round(float(fitted.mean()), 4),
            before=round(float(before.mean()), 4),
            kept=not worse,
        )
        return float((before if worse else fitted).mean())

    def _replace_if_beaten(self, log: FilteringBoundLogger) -> dict[str, float]:
        """Replaces the ranker by the order of one input alone if that is better in the validation beyond chance.

        The inputs are the classic scores that a block holds (ONE_INPUT). Returns the best one's NDCG, and whether it
        replaces the ranker.
        """
        names = [*PAIR_FEATURES, *PAIR_FEATURES, *extra_input_names(self.statistics.shape[1])]
        own, trained = self._ndcg(), copy.deepcopy(self.model.state_dict())
        found: dict[str, NDArray[np.float64]] = {}
        for name in (name for name in ONE_INPUT if name in names):
            order_by(self.model, names.index(name))
            found[name] = self._ndcg()
        best = max(found, key=lambda name: float(found[name].mean()))
        enough = len(own) >= LEAST_EVIDENCE
        replaced = enough and beats(found[best], own, self.config.evidence_errors)
        self.model.load_state_dict(trained)
        if replaced:
            order_by(self.model, names.index(best))
        log.info(
            "ranker_against_one_input",
            best=best,
            ndcg20=round(float(found[best].mean()), 4),
            ranker=round(float(own.mean()), 4),
            replaced=replaced,
        )
        return {"best_input_ndcg20": float(found[best].mean()), f"replaced_by_{best}": float(replaced)}

    def _of_degrees(self) -> Tensor:
        """(1, inputs): 1 at the weights that prefer the well connected or not, 0 elsewhere."""
        kept = len(PAIR_FEATURES)
        chosen = torch.zeros_like(self.model.past.weight)
        chosen[:, PAGERANK] = 1
        chosen[:, 2 * kept + EXTRA_INPUTS.index("candidate_log_degree")] = 1
        return chosen

    def _of_product(self, log: FilteringBoundLogger) -> dict[str, float]:
        """What the towers' product does in the validation: alone, and what all that is trained adds to it.

        A gain is the mean of paired differences of NDCG@20, with half of its 95% interval as `gain_error`.
        """
        own, trained = self._ndcg(), copy.deepcopy(self.model.state_dict())
        order_by(self.model, PRODUCT)
        alone = self._ndcg()
        self.model.load_state_dict(trained)
        gain, error = float((own - alone).mean()), float(1.96 * (own - alone).std() / len(own) ** 0.5)
        log.info("ranker_over_towers", towers=round(float(alone.mean()), 4), gain=round(gain, 4), error=round(error, 4))
        return {"towers_ndcg20": float(alone.mean()), "gain_over_towers": gain, "gain_error": error}

    def _stage(self, best: float, rate: float, *, log: FilteringBoundLogger) -> tuple[float, int]:
        """Trains from the current weights, whose NDCG is `best`; keeps the best, returns its NDCG and the epochs."""
        config = self.config
        parameters = [one for name, one in self.model.named_parameters() if self._learns(name)]
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=config.weight_decay, fused=True)
        an_epoch = max(-(-len(self.training) // config.batch_users), 1)
        most = min(config.max_steps, config.linear_max_steps) if self.is_linear else config.max_steps
        epochs = max(min(config.epochs, most // an_epoch), 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * an_epoch, pct_start=0.15)
        state = self._resumed(optimiser, schedule, log)
        if state is None:
            state = RunState(best_metrics={"ndcg20": best}, best=copy.deepcopy(self.model.state_dict()))
        self.learning = self.processes.data_parallel(self.model)
        while not state.ended:
            loss = self._epoch(optimiser, schedule)
            ndcg = float(self._ndcg().mean())
            state.epoch += 1
            log.info("ranker_epoch", epoch=state.epoch, loss=round(loss, 4), ndcg20=round(ndcg, 4))
            better = ndcg > state.best_metrics["ndcg20"]
            state.since_best = 0 if better else state.since_best + 1
            if better:
                state.best_metrics, state.best = {"ndcg20": ndcg}, copy.deepcopy(self.model.state_dict())
            state.ended = state.epoch >= epochs or state.since_best >= config.patience
            if self.resumes_from is not None:
                state.random = dict(self.random.bit_generator.state)
                state.save(self.resumes_from, self.name, self.model, optimiser, schedule)
        self.model.load_state_dict(state.best)
        return state.best_metrics["ndcg20"], state.epoch

    def _resumed(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        log: FilteringBoundLogger,
    ) -> RunState | None:
        """The state that rank 0 finds of this run, in every process; None if there is none."""
        kept = self.resumes_from
        content = self.processes.agreed(lambda: None if kept is None else read_state(kept, self.name))
        if content is None:
            return None
        state = RunState.loaded(content, self.model, optimiser, schedule)
        self.random.bit_generator.state = state.random
        log.info("ranker_resumed", epoch=state.epoch)
        return state

    def _learns(self, name: str) -> bool:
        """Whether the parameter of this name learns."""
        return name.startswith("past") or not self.is_linear

    def _ndcg(self) -> NDArray[np.float64]:
        """NDCG@20 of each validation viewer's list."""
        scores, lists = self.scores(self.validation), self.validation
        return self.processes.agreed(lambda: ndcg_of_lists(scores, lists.outcomes, lists.friends_made))

    def _epoch(self, optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> float:
        self.model.train()
        order = self.random.permutation(len(self.training))
        total = 0.0
        for start in range(0, len(order), self.config.batch_users):
            batch = self.training.take(order[start : start + self.config.batch_users])
            loss = self._loss(batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        return float(self.processes.mean(torch.tensor(total / len(order), dtype=torch.float64)))

    def _loss(self, batch: TrainingLists) -> Tensor:
        """The loss of the own part of these lists; its mean over processes is that of all."""
        places, weights = batch.sampled_places(self.config.hardest, self.config.others, self.random)
        weight = self.processes.weight(len(batch))
        if self.processes.count > 1:
            own = self.processes.own(len(batch))
            batch, places, weights = batch.take(np.arange(own.start, own.stop)), places[own], weights[own]
        scores = self.learning(torch.from_numpy(batch.pair_inputs(self.statistics, places)))
        outcome = torch.from_numpy(np.take_along_axis(batch.outcomes, places, axis=1) & np.isfinite(weights))
        spread = functional.log_softmax(scores + torch.from_numpy(weights), dim=1)
        per_list = torch.where(outcome, spread, 0).sum(dim=1) / outcome.sum(dim=1)
        return -(per_list.mean() * weight if weight else per_list.sum())

    @torch.no_grad()
    def scores(self, lists: TrainingLists) -> NDArray[np.float32]:
        """(U, m) float32 scores of every place; -inf for a place without candidate. Each process scores its part."""
        self.model.eval()
        parts = -(-len(lists) // SCORED_AT_ONCE)
        own = self.processes.own(parts)
        scores = torch.zeros((own.stop - own.start, SCORED_AT_ONCE, lists.rows.shape[1]))
        for part in range(own.start, own.stop):
            at = np.arange(part * SCORED_AT_ONCE, min((part + 1) * SCORED_AT_ONCE, len(lists)))
            inputs = torch.from_numpy(lists.take(at).pair_inputs(self.statistics))
            scores[part - own.start, : len(at)] = self.model(inputs)
        whole = self.processes.whole(scores, parts).flatten(0, 1).numpy()
        return np.where(lists.in_use, whole[: len(lists)], -np.inf)

    def calibration(self, lists: TrainingLists) -> NDArray[np.float32]:
        """Slope, level, and weights of the viewer's log degree and the list's mass, fitted on the twenty best places of
        these lists."""
        scores = self.scores(lists)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :20]
        shown = np.take_along_axis(scores, best, axis=1)
        degree = self.statistics[lists.at_viewers, LOG_DEGREE]
        mass = np.array([list_mass(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in scores])
        inputs = np.stack(
            [shown, np.broadcast_to(degree[:, None], shown.shape), np.broadcast_to(mass[:, None], shown.shape)], axis=2
        )
        used = np.isfinite(shown)
        outcomes = (np.take_along_axis(lists.outcomes, best, axis=1) * lists.outcome_weight[:, None])[used]
        if outcomes.all() or not outcomes.any():
            return np.array([1, 0, 0, 0], np.float32)
        slope, by_degree, by_mass, level = fit_curve(inputs[used], outcomes)
        return np.array([max(slope, 1e-3), level, by_degree, by_mass], np.float32)


def _digest(
    lists: TrainingLists,
    statistics: NDArray[np.float32],
    prior: NDArray[np.float32],
    config: RankerConfig,
    former: RankerHead | None,
) -> str:
    """A digest of everything that decides the weights."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    begins = [] if former is None else [one.numpy() for one in former.state_dict().values()]
    for array in (*vars(lists).values(), statistics, prior, *begins):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
