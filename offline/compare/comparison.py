"""Runs rows x seeds on one dataset and saves each result, so that a stopped comparison resumes."""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.errors import UsageError
from models.system import files, logs
from models.system.files import json_digest
from offline.compare.results import PerUser, RunResult
from offline.compare.run_variant import Runner
from offline.compare.shared_split import SharedSplit
from offline.compare.variants import Variant
from offline.night.config import NightConfig
from offline.training.resume import RunState

SPLIT = "ground.json"
RUNS = "runs"
WORK = "work"
LOCK = "lock"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plan:
    """What to compare, on which data."""

    data: Path
    """the dataset directory"""
    held_out: Path | None
    """friendships to predict; None: a part of the dataset's own"""
    out: Path
    """directory of results, checkpoints and curves; results found there are not computed again"""
    rows: tuple[Variant, ...]
    seeds: tuple[int, ...]
    config: NightConfig
    users: int
    """most users evaluated"""
    lists: int
    """most lists that a fusion is trained on"""


class SharedSplitNote(BaseModel):
    """The note of the split on which all results of a directory were evaluated, saved as SPLIT."""

    model_config = ConfigDict(frozen=True)

    digest: str
    """digest of dataset files, held-out file, configuration and release"""
    started_at: AwareDatetime
    """time of the export if the dataset has none; the same for all runs"""
    dataset: str
    users: int = 0
    friendships: int = 0
    hidden: int = 0
    judged: int = 0
    has_time: bool = False
    baselines: dict[str, PerUser] = {}


class Observer(Protocol):
    """Receives the progress of a comparison."""

    def epoch(self, variant: str, state: RunState) -> None:
        """Called after an epoch of a row's encoder, in this process only."""

    def done(self, result: RunResult, number: int, of: int) -> None:
        """Called when a result was computed or found."""


def compare(plan: Plan, observer: Observer, jobs: int = 1) -> tuple[SharedSplitNote, list[RunResult]]:
    """All results of the plan, in the order of rows, then seeds.

    Runs that share an encoder follow one another in one process. Each of `jobs` processes builds its own split. Raises
    DatasetError and UsageError if the dataset, a file or the device cannot be used.
    """
    with files.locked(plan.out / LOCK, 1.0) as locked:
        if not locked:
            raise UsageError(f"another comparison is running in {plan.out}; wait for it, or name another --out")
        try:
            return _compared(plan, observer, jobs)
        finally:
            files.remove_tree(plan.out / WORK)


def _compared(plan: Plan, observer: Observer, jobs: int) -> tuple[SharedSplitNote, list[RunResult]]:
    note = _note(plan)
    results: dict[tuple[str, int], RunResult] = {}
    total, wanted = len(plan.rows) * len(plan.seeds), dict[tuple[str, int], list[Variant]]()
    for variant in plan.rows:
        for seed in plan.seeds:
            found = RunResult.read(*_place(plan, note, variant, seed))
            if found is None:
                wanted.setdefault((variant.digest, seed), []).append(variant)
            else:
                # the row may have had another name when it was run
                results[variant.name, seed] = found.model_copy(update={"row": variant.name})
                observer.done(results[variant.name, seed], len(results), total)
    groups = [(tuple(rows), seed) for (_, seed), rows in wanted.items()]
    if groups or not note.baselines:
        for result in _run_all(plan, note, groups, observer, jobs):
            results[result.row, result.seed] = result
            log.info("row_done", **summary(result), number=len(results), of=total)
            observer.done(result, len(results), total)
        note = SharedSplitNote.model_validate(files.read_json(plan.out / SPLIT))
    return note, [results[variant.name, seed] for variant in plan.rows for seed in plan.seeds]


def summary(result: RunResult) -> dict[str, str | float]:
    """The main figures of a result, for the log."""
    figures: dict[str, str | float] = {"row": result.row, "seed": result.seed}
    for name, quality in (("alone", result.alone), ("fused", result.fused)):
        if quality is not None:
            figures[f"{name}_recall20"] = round(sum(quality.recall) / len(quality.recall), 4)
    return figures | {"training_s": round(result.training_seconds, 1)}


def _run_all(
    plan: Plan, note: SharedSplitNote, groups: Sequence[tuple[tuple[Variant, ...], int]], observer: Observer, jobs: int
) -> Iterator[RunResult]:
    if jobs == 1 or len(groups) <= 1:
        worker = _Worker(plan, note, observer.epoch)
        worker.make_ready()
        for rows, seed in groups:
            yield from worker.group(rows, seed)
        return
    ready = _Worker(plan, note)
    ready.make_ready()  # fails here rather than in a child process
    context, arguments = multiprocessing.get_context("spawn"), (plan, ready.note)
    with ProcessPoolExecutor(min(jobs, len(groups)), context, _begin, arguments) as pool:
        try:
            for done in as_completed([pool.submit(_in_process, rows, seed) for rows, seed in groups]):
                yield from done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Worker:
    """Runs rows in one process; builds the shared split at the first run."""

    def __init__(
        self,
        plan: Plan,
        note: SharedSplitNote,
        epoch_done: Callable[[str, RunState], None] = lambda variant, state: None,
    ) -> None:
        self.plan, self.note, self.epoch_done = plan, note, epoch_done
        self.work = plan.out / WORK / str(os.getpid())
        self._runner: Runner | None = None

    def make_ready(self) -> Runner:
        """The runner; the first call builds the shared split and writes its note."""
        if self._runner is None:
            plan, note = self.plan, self.note
            files.remove_tree(self.work)
            self.work.mkdir(parents=True)
            split = SharedSplit.of(plan.data, plan.held_out, self.work, plan.config, plan.users, note.started_at)
            self._runner = Runner(
                split, self.work, encoders=plan.out / "encoders", lists=plan.lists, epoch_done=self.epoch_done
            )
            if not note.baselines:
                self.note = _described(note, split)
                files.write_bytes(plan.out / SPLIT, self.note.model_dump_json().encode())
        return self._runner

    def group(self, rows: Sequence[Variant], seed: int) -> Iterator[RunResult]:
        """Runs rows of one encoder, saves and yields each result."""
        for variant in rows:
            path, digest = _place(self.plan, self.note, variant, seed)
            log.info("row_started", variant=variant.name, seed=seed)
            result = self.make_ready().run(variant, seed, digest)
            path.parent.mkdir(exist_ok=True)
            result.write(path)
            yield result


_OWN: list[_Worker] = []
"""the worker of a pool process"""


def _begin(plan: Plan, note: SharedSplitNote) -> None:
    import torch

    logs.configure()
    torch.set_num_threads(1)
    _OWN.append(_Worker(plan, note))


def _in_process(rows: Sequence[Variant], seed: int) -> list[RunResult]:
    return list(_OWN[0].group(rows, seed))


def _place(plan: Plan, note: SharedSplitNote, variant: Variant, seed: int) -> tuple[Path, str]:
    """The path of a run's result, and the digest it must have."""
    digest = json_digest([note.digest, variant.row_digest, seed, plan.lists])
    return plan.out / RUNS / f"{variant.row_digest}-{seed}.json", digest


def _note(plan: Plan) -> SharedSplitNote:
    """The note in the directory if it describes this split, else a new one."""
    mark = hashlib.sha256()
    sources = sorted(path for path in plan.data.iterdir() if path.is_file()) if plan.data.is_dir() else []
    for path in [*sources, *([plan.held_out] if plan.held_out else [])]:
        mark.update(f"{path.name} {files.sha256(path)}\n".encode())
    settings = plan.config.model_dump(mode="json"), plan.users, metadata.version("pymk"), plan.held_out is None
    digest = json_digest([mark.hexdigest(), *settings])
    path = plan.out / SPLIT
    if path.exists():
        try:
            found = SharedSplitNote.model_validate_json(path.read_bytes())
        except ValidationError:
            found = None
        if found is not None and found.digest == digest:
            return found
    return SharedSplitNote(digest=digest, started_at=datetime.now(UTC), dataset=plan.data.resolve().name)


def _described(note: SharedSplitNote, split: SharedSplit) -> SharedSplitNote:
    baselines = {
        name: PerUser.of(split.hidden, split.sampled_viewers, lists) for name, lists in split.baselines().items()
    }
    return note.model_copy(
        update={
            "users": split.snapshot.n,
            "friendships": split.known.count,
            "hidden": len(split.hidden.indices) // 2,
            "judged": len(split.sampled_viewers),
            "has_time": split.has_time,
            "baselines": baselines,
        }
    )
