"""Threads, logging and example deadlines of every test, and a version of eight people."""

import os

# Sums in another order differ in their last digits, so what has to be equal twice is computed on one thread.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")

from tests.support.tables import MakeTables, tables_in_memory
from tests.support.versions import MakeVersion, VersionCopies, write_version

# the first example waits until kernels are compiled
settings.register_profile("no_deadline", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(autouse=True, scope="session")
def fresh_loggers() -> Iterator[None]:
    """Lets no logger keep the configuration of its first line: lines could not be captured after another one."""
    configure = structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Runs torch on one thread: steps of small networks take ten times as long on several."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Restores the logging of this process after a command that the test runs inside it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def written_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of eight people as this code writes it; not to be changed."""
    directory = tmp_path_factory.mktemp("version")
    write_version(directory, "20260101T000000Z-0a1b2c")
    return directory


@pytest.fixture
def make_version(tmp_path: Path, written_version: Path) -> MakeVersion:
    """Copies that version into the versions of a home, `tmp_path` by default; returns the id of the copy."""
    return VersionCopies(written_version, tmp_path)


@pytest.fixture(scope="session")
def make_tables() -> MakeTables:
    """Makes tables without a file, by `tables_in_memory`."""
    return tables_in_memory
