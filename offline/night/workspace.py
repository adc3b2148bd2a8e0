"""The finished steps of a night on disk, so that a killed run resumes with the one it was killed in."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from models.erasure.interrupted_run import DIRECTORY, LOCK, RUN
from models.errors import ArtefactError, GateRefusedError, PymkError, UsageError
from models.system import disk, files
from models.version.local_versions import new_id
from offline.dataset.reader import Dataset, read_dataset
from offline.dataset.table_files import dataset_files

if TYPE_CHECKING:  # a wrong dataset is said before anything heavy is loaded
    from offline.evaluation.report import Report

SNAPSHOT = "snapshot"
"""the first step"""

log = structlog.get_logger(__name__)


class StoppedEarlyError(Exception):
    """The run stops after the step that it was asked for; its workspace stays."""

    def __init__(self, version: str, report: "Report") -> None:
        super().__init__(version)
        self.version, self.report = version, report


class Run(BaseModel):
    """What a night is making."""

    model_config = ConfigDict(frozen=True)

    version: str
    started_at: AwareDatetime
    fingerprint: str
    """of the dataset's files, configuration, flags and release: a run of the same resumes this one"""
    refused: bool = False
    """whether the gate refused it: it is over, unless a run with --force takes it up"""


class Workspace:
    """`PYMK_HOME`/night: one directory a finished step, beside run.json."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.directory = directory
        self.run = run

    def step(self, name: str) -> Path:
        """The directory of a step's results."""
        return self.directory / name

    def is_done(self, name: str) -> bool:
        """Whether a step was finished before."""
        return self.step(name).is_dir()

    def checkpoints(self, name: str) -> Path:
        """The directory of what a step that was killed goes on from; it is no finished step."""
        return self.directory / f".{name}.checkpoints"

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """An empty directory that becomes the step's own when the block ends, and is removed if it raises."""
        aside = self.directory / f".{name}.aside"
        files.remove_tree(aside)
        aside.mkdir()
        started = datetime.now(UTC)
        log.info("step_begins", step=name)
        try:
            with disk.room(aside):  # before what was written is removed
                yield aside
            files.put_in_place(aside, self.step(name))
        finally:
            files.remove_tree(aside)
        log.info("step_done", step=name, seconds=round((datetime.now(UTC) - started).total_seconds(), 1))


@contextmanager
def workspace(
    home: Path, fingerprint: str, started_at: datetime | None = None, *, force: bool = False
) -> Iterator[Workspace]:
    """The workspace of a run with this fingerprint, resumed if an earlier one was killed, else started at `started_at`.

    One night at a time works in a home. What a run of another fingerprint left is removed, and so is a run that failed
    by its input or a damaged file: it would fail again. A run that the gate refused is taken up with `force` alone,
    which publishes what it made; any other run begins anew. Raises PymkError while another night is at work.
    """
    directory = home / DIRECTORY
    with files.locked(home / LOCK, 1.0) as held:
        if not held:
            raise PymkError(f"another pymk nightly is at work in {home}; wait for it, or give this one a --home")
        run = _unfinished(directory)
        done = sorted(one.name for one in directory.glob("[!.]*") if one.is_dir())
        is_over = run is not None and run.refused and not force
        # a run without a finished step starts now
        if run is not None and run.fingerprint == fingerprint and done and not is_over:
            log.info("run_resumed", version=run.version, done=done)
        else:
            files.remove_tree(directory)
            directory.mkdir(parents=True)
            started = started_at or datetime.now(UTC)
            run = Run(version=new_id(started), started_at=started, fingerprint=fingerprint)
            files.write_bytes(directory / RUN, run.model_dump_json().encode())
        try:
            yield Workspace(directory, run)
        except (UsageError, ArtefactError):
            files.remove_tree(directory)
            raise
        except GateRefusedError:
            refused = run.model_copy(update={"refused": True})
            files.write_bytes(directory / RUN, refused.model_dump_json().encode())
            raise
        files.remove_tree(directory)


def _unfinished(directory: Path) -> Run | None:
    """The run whose workspace this is; None if there is none, or it cannot be read."""
    try:
        return Run.model_validate_json(files.read_bytes(directory / RUN))
    except (ArtefactError, ValidationError):
        return None


def fingerprint(data: Path, *settings: str) -> str:
    """A digest of names, sizes and times of the files that a night reads of a dataset, and of the settings."""
    digest = hashlib.sha256()
    for path in dataset_files(data) if data.is_dir() else ():
        state = path.stat()
        digest.update(f"{path.relative_to(data)} {state.st_size} {state.st_mtime_ns}\n".encode())
    digest.update(f"{data.resolve()}\n".encode())
    for setting in settings:
        digest.update(f"{setting}\n".encode())
    return digest.hexdigest()


@dataclass
class ReadAhead:
    """A dataset that is read before anything heavy is loaded or started, so that bad input is said at once.

    It is for the one step that takes it.
    """

    started_at: datetime
    """the start of the run that the dataset was read for"""
    fingerprint: str
    """of the dataset's files before they were read"""
    _dataset: Dataset | None = field(repr=False)

    @classmethod
    def of(cls, data: Path, home: Path) -> Self | None:
        """Reads and checks a whole dataset directory; None if a killed night in this home has read one.

        Raises DatasetError.
        """
        run = _unfinished(home / DIRECTORY)
        if (home / DIRECTORY / SNAPSHOT).is_dir() and not (run is not None and run.refused):
            return None
        started, before = datetime.now(UTC), fingerprint(data)
        return cls(started, before, read_dataset(data, started_at=started))

    def take(self, data: Path, started_at: datetime) -> Dataset | None:
        """The dataset, once, so that nothing keeps it in memory; None if the run or the files are others."""
        dataset, self._dataset = self._dataset, None
        return dataset if started_at == self.started_at and fingerprint(data) == self.fingerprint else None
