"""The experiments that run, followed in the background, and the lists of a viewer's arms."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from models.errors import CorruptRecordError, StoreError
from models.experiments.assignment import ArmDraw, held_out
from models.experiments.experiment import BLEND, Arm, Run
from models.experiments.registry import Registry, decode
from models.settings import Settings
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics
from service.ranking.rerank import Reranker, RerankSettings
from service.state.holdout import HoldoutReranker
from service.state.served_version import ServedVersion

POLL_S = 0.5
"""how often the record of experiments is read"""
COMBINATIONS_HELD = 256
"""combinations of arms in one version whose rules are kept ready"""
STILL = {"exploration_temperature": 0.0, "exploration_uniform_share": 0.0}
"""settings of lists in which nobody is drawn"""
MASKS_HELD = 8
"""pairs of version and experiment for which it is kept who is held out"""


class Arms(NamedTuple):
    """The arms of one viewer, or of all viewers whom the hash puts together."""

    names: Mapping[str, str]
    """by experiment, the arm"""
    arms: tuple[Arm, ...]
    holding: tuple[Run, ...]
    """the experiments that hold candidates out of these arms"""
    is_still: bool
    """whether nobody is drawn: one of the experiments has a holdout, whose people keep their places, and its arms, the
    control among them, must not differ in exploration"""


NO_ARMS = Arms(MappingProxyType({}), (), (), False)


class ArmsOfViewers:
    """Which arms a viewer is in, and the rules of these arms over a version. Pure: whoever has it hands it the record.

    The lists of an arm differ in the soft rules alone: the version, its flags and its scorer are shared.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` are those of the installation, which arms change; None: there are no arms."""
        self._settings = settings
        self._draws: tuple[tuple[Run, ArmDraw], ...] = ()
        self._arms: dict[tuple[int | None, ...], Arms] = {}
        self._served: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[ServedVersion, ServedVersion]] = {}
        self._held: dict[tuple[str, str], NDArray[np.bool_]] = {}
        """by version and experiment, (n,) who is held out"""
        self.registry = Registry()

    @property
    def is_running(self) -> bool:
        """Whether any experiment runs."""
        return bool(self._draws)

    def take(self, registry: Registry) -> None:
        """Takes over another record of experiments."""
        self.registry = registry
        self._draws = tuple((run, ArmDraw(run.experiment)) for run in registry.running)
        self._arms.clear()
        self._served.clear()

    def of(self, user_id: str) -> Arms:
        """The arms of a viewer."""
        if not self._draws:
            return NO_ARMS
        drawn = tuple([draw.arm(user_id) for _, draw in self._draws])
        found = self._arms.get(drawn)
        if found is None:
            chosen = [(run, at) for (run, _), at in zip(self._draws, drawn, strict=True) if at is not None]
            holding = [run for run, at in chosen if at and run.experiment.candidates.holdout]
            arms = [run.experiment.arms[at] for run, at in chosen]
            names = {run.name: arm.name for (run, _), arm in zip(chosen, arms, strict=True)}
            is_still = any(run.experiment.candidates.holdout for run, _ in chosen)
            found = self._arms[drawn] = Arms(MappingProxyType(names), tuple(arms), tuple(holding), is_still)
        return found

    def versions(
        self, user_id: str, active: ServedVersion, previous: ServedVersion | None
    ) -> tuple[ServedVersion, ServedVersion | None]:
        """The version that a viewer's lists are of, by the rules of the viewer's arms, and the one before it.

        An arm whose version is not open any more has the active one.
        """
        arms = self.of(user_id)
        if not arms.names:
            return active, previous
        own = next((arm.version for arm in arms.arms if arm.version is not None), None)
        if own is not None and previous is not None and own == previous.version:
            return self._with_rules(previous, arms), None
        return self._with_rules(active, arms), None if previous is None else self._with_rules(previous, arms)

    def keep(self, versions: Sequence[ServedVersion]) -> None:
        """Drops what was made of other versions than these, so that their files do not stay mapped."""
        open_ones = {id(version) for version in versions}
        for key in [key for key, (version, _) in self._served.items() if id(version) not in open_ones]:
            self._served.pop(key, None)

    def prepare(self, version: ServedVersion, runs: Iterable[Run] | None = None) -> None:
        """Marks the people whom experiments, by default the running ones, hold out of a version, and readies its scores
        for their arms. May run in a thread.

        It hashes every id, which takes seconds for millions of people.
        """
        for run in self.registry.running if runs is None else runs:
            if run.experiment.candidates.holdout:
                self._held_rows(version, run)
            for arm in run.experiment.arms:
                if arm.blend and not version.has_heads:
                    log = structlog.get_logger()
                    log.warning("setting_without_effect", setting=BLEND, arm=arm.name, version=version.version)
                elif arm.blend:
                    version.ranking.with_reranker(self._reranker(version, [arm]))

    def _held_rows(self, version: ServedVersion, run: Run) -> NDArray[np.bool_]:
        key = (version.version, run.name)
        held = self._held.get(key)
        if held is None:
            vocabulary = version.tables.vocabulary
            held = held_out(run.experiment, (vocabulary.user_id(row) for row in range(version.tables.n)))
            while len(self._held) >= MASKS_HELD:
                self._held.pop(next(iter(self._held)), None)
            self._held[key] = held
        return held

    def _with_rules(self, version: ServedVersion, arms: Arms) -> ServedVersion:
        """A version with the soft rules of these arms."""
        key = (version.version, tuple(arms.names.items()))
        known = self._served.get(key)
        if known is not None and known[0] is version:
            return known[1]
        if len(self._served) >= COMBINATIONS_HELD:
            self._served.clear()
        reranker = self._reranker(version, arms.arms, is_still=arms.is_still)
        if arms.holding:
            held = np.logical_or.reduce([self._held_rows(version, run) for run in arms.holding])
            holding = {run.name for run in arms.holding}
            others = [arm for name, arm in zip(arms.names, arms.arms, strict=True) if name not in holding]
            controls = [run.experiment.control for run in arms.holding]
            reranker = HoldoutReranker(reranker, self._reranker(version, [*others, *controls]), held)
        ranking = version.ranking.with_reranker(reranker)
        served = replace(version, ranking=ranking, arms=arms.names)
        self._served[key] = (version, served)
        return served

    def _reranker(self, version: ServedVersion, arms: Sequence[Arm], *, is_still: bool = False) -> Reranker:
        changed: dict[str, Any] = {name: value for arm in arms for name, value in arm.overrides.items()}
        if is_still and (version.ranking.reranker.exploration.is_on or changed.keys() & STILL.keys()):
            changed |= STILL
        if not changed or self._settings is None:
            return version.ranking.reranker
        return Reranker(version.tables, RerankSettings.of(self._settings.model_copy(update=changed)))


NO_EXPERIMENTS = ArmsOfViewers()
"""no viewer is in any arm"""


class FollowedExperiments:
    """Follows the record of experiments in the store from `start` to `aclose`; no request waits for that."""

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        arms: ArmsOfViewers,
        metrics: Metrics,
        open_versions: Callable[[], Iterable[ServedVersion]],
    ) -> None:
        """`open_versions` are those whose lists arms may change."""
        self.arms = arms
        self._store, self._keys, self._metrics = store, keys, metrics
        self._open_versions = open_versions
        self._record: bytes | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the record, if the store answers, and begins to follow."""
        await self._follow()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="experiments")

    async def aclose(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        """Reads the record. If that fails, the experiments that ran go on."""
        try:
            record = await self._store.get(self._keys.experiments)
            if record == self._record:
                return
            registry = decode(record)
        except StoreError:
            self._metrics.degraded.labels("experiments_not_read").inc()
            return
        except CorruptRecordError as error:
            self._metrics.degraded.labels("experiments_not_read").inc()
            structlog.get_logger().error("experiments_not_read", error=str(error))
            self._record = record
            return
        for version in self._open_versions():
            await asyncio.to_thread(self.arms.prepare, version, registry.running)
        self.arms.take(registry)
        self._record = record
        names = [run.name for run in registry.running]
        structlog.get_logger().info("experiments_followed", running=names)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._follow()
            except Exception as error:  # the task must survive, else no experiment is ever stopped
                structlog.get_logger().error("experiments_not_read", exc_info=error)
