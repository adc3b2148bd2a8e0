"""The experiments of an installation, kept in the store: started, stopped, listed."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import CorruptRecordError, PymkError, UsageError
from models.experiments.experiment import EXPLORATION, Experiment, Run
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.known_names import unknown_name

MOST_STOPPED = 200
"""stopped experiments that are kept; of later ones the oldest are forgotten"""
_ATTEMPTS = 20


class Registry(BaseModel):
    """All experiments, in the order in which they were started."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[Run, ...] = ()

    @property
    def running(self) -> tuple[Run, ...]:
        """Those that were not stopped."""
        return tuple(run for run in self.runs if run.stopped_at is None)

    def find(self, name: str) -> Run:
        """The experiment of a name. Raises UsageError that names the nearest."""
        for run in self.runs:
            if run.name == name:
                return run
        raise UsageError(f"{name} {unknown_name(name, 'experiment', [run.name for run in self.runs])}")


def decode(record: bytes | None) -> Registry:
    """The experiments of the bytes under Keys.experiments. Raises CorruptRecordError."""
    if record is None:
        return Registry()
    try:
        return Registry.model_validate_json(record)
    except ValidationError as error:
        raise CorruptRecordError(
            "the store's record of experiments cannot be read: another release wrote it, or it is damaged; "
            "delete its key and start the experiments again"
        ) from error


def read(store: SyncStore, *, keys: Keys) -> Registry:
    """The experiments of an installation. Raises CorruptRecordError."""
    return decode(store.get(keys.experiments))


def start(
    store: SyncStore, experiment: Experiment, *, keys: Keys, versions: Collection[str], now: datetime | None = None
) -> Run:
    """Starts an experiment; every live process follows within a second.

    `versions` are the active version and the one before it. Raises UsageError if the name was used before, an arm names
    another version, exploration is changed beside a holdout, or a running experiment changes one of the same settings.
    """
    if drawn := _drawn(experiment, experiment):
        raise UsageError(f"holdout needs arms without {drawn}: in a list that is drawn, nobody keeps a place")
    for arm in experiment.arms:
        if arm.version is not None and arm.version not in versions:
            raise UsageError(
                f"arm {arm.name}: version {arm.version} is neither the active version nor the one before it; "
                f"they are {' and '.join(versions) or 'none'}"
            )
    run = Run(experiment=experiment, started_at=now or datetime.now(UTC))

    def added(registry: Registry) -> Registry:
        if any(one.name == experiment.name for one in registry.runs):
            raise UsageError(f"there is an experiment {experiment.name} already: every experiment has its own name")
        for other in registry.running:
            if drawn := _drawn(experiment, other.experiment) or _drawn(other.experiment, experiment):
                raise UsageError(
                    f"of this experiment and {other.name}, which runs, one has a holdout and one changes {drawn}: in a "
                    f"list that is drawn, nobody keeps a place; stop it first: pymk experiment stop {other.name}"
                )
            if both := sorted(other.experiment.changes & experiment.changes):
                raise UsageError(
                    f"experiment {other.name} runs and changes {', '.join(both)} too; stop it first: "
                    f"pymk experiment stop {other.name}"
                )
        stopped = [one for one in registry.runs if one.stopped_at is not None]
        forgotten = stopped[: max(len(stopped) - MOST_STOPPED, 0)]
        return Registry(runs=(*(one for one in registry.runs if one not in forgotten), run))

    _change(store, keys, added)
    arms = {arm.name: arm.share for arm in experiment.arms}
    structlog.get_logger().info("experiment_started", experiment=run.name, arms=arms)
    return run


def _drawn(holding: Experiment, other: Experiment) -> str:
    """The settings of exploration that `other` changes, if `holding` has a holdout; else nothing."""
    return ", ".join(sorted(other.changes & EXPLORATION)) if holding.candidates.holdout else ""


def stop(store: SyncStore, name: str, *, keys: Keys, now: datetime | None = None) -> Run:
    """Stops an experiment; its viewers get the lists of everybody again. Raises UsageError if it does not run."""
    stopped_at = now or datetime.now(UTC)

    def ended(registry: Registry) -> Registry:
        run = registry.find(name)
        if run.stopped_at is not None:
            raise UsageError(f"experiment {name} was stopped at {run.stopped_at:%Y-%m-%d %H:%M} UTC")
        changed = run.model_copy(update={"stopped_at": stopped_at})
        return Registry(runs=tuple(changed if one is run else one for one in registry.runs))

    run = _change(store, keys, ended).find(name)
    structlog.get_logger().info("experiment_stopped", experiment=name)
    return run


def _change(store: SyncStore, keys: Keys, change: Callable[[Registry], Registry]) -> Registry:
    """Applies a change to the record, whoever else writes at the same time."""
    for _ in range(_ATTEMPTS):
        record = store.get(keys.experiments)
        changed = change(decode(record))
        if store.compare_and_set(keys.experiments, record, encode(changed)):
            return changed
    raise PymkError("other processes kept changing the experiments; run the command again")


def encode(registry: Registry) -> bytes:
    """The bytes under Keys.experiments. What an arm leaves unset stays unset."""
    return registry.model_dump_json(exclude_unset=True).encode()
