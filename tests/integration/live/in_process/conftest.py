"""One dataset, version, store server and event loop for all the sequences of a test process."""

import asyncio
import resource
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from models.store.embedded.client import EmbeddedServer
from models.system.clock import now_us
from models.version.local_versions import Versions
from offline.snapshot.live_events import LiveEvents
from tests.support.nights import make_untrained_night, untrained_bundle
from tests.support.ring_network import write_dataset
from tests.support.service import ServiceFactory, ServiceHarness


@pytest.fixture(scope="session")
def services() -> Iterator[ServiceFactory]:
    """Starts services around the ring of twelve people."""
    memory = Path("/dev/shm")  # noqa: S108 - nobody reads what a sequence leaves in it
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        root = Path(directory)
        data, prepared = root / "data", root / "made"
        data.mkdir()
        prepared.mkdir()
        write_dataset(data)
        make_untrained_night(data, Versions(prepared), 0, LiveEvents(now_us()), untrained_bundle)
        server = EmbeddedServer(root / "store")
        with asyncio.Runner() as runner, closing(server):
            yield ServiceFactory(runner, data, prepared, f"unix://{quote(str(server.socket_path))}")
            left = asyncio.all_tasks(runner.get_loop())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not left, "a task outlived its service, and may open connections"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Drops the log lines of thousands of sequences, and restores the logging for other tests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def harness(services: ServiceFactory) -> Iterator[ServiceHarness]:
    """A service of its own for a test."""
    opened = services.start()
    yield opened
    opened.close()
