"""Two store servers behind one address, and a home whose service uses it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis

from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from tests.support.clock import wait_for
from tests.support.faults.forwarder import Forwarder, Pair
from tests.support.homes import Home
from tests.support.stores import running_server
from tests.support.versions import make_servable


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary with a replica that is in step with it, behind an address that leads to the primary."""
    with ExitStack() as stack:
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
        old_port = stack.enter_context(running_server(tmp_path / "old", "--repl-diskless-sync-delay", "0"))
        upstream = ("--replicaof", f"127.0.0.1 {old_port}")
        new_port = stack.enter_context(running_server(tmp_path / "new", *upstream))
        old, new = (stack.enter_context(redis.Redis(port=port)) for port in (old_port, new_port))
        wait_for(lambda: new.info("replication")["master_link_status"] == "up")
        address = stack.enter_context(Forwarder(old_port).running())
        yield Pair(old, new, new_port, address)


@pytest.fixture
def make_home(tmp_path: Path, make_version: Callable[..., str]) -> Callable[..., Home]:
    """Makes a home with a published version of eight people, in a directory of its own unless one is given; the other
    arguments are the environment of its commands."""

    def make(directory: Path | None = None, **settings: str) -> Home:
        if directory is None:
            directory = tmp_path / "home"
            directory.mkdir()
        version = make_version(directory)
        make_servable(directory, version)
        versions = Versions(directory)
        own = {name.removeprefix("PYMK_").lower(): value for name, value in settings.items()}
        with closing(open_sync(Settings.model_validate({"home": directory, **own}))) as store:
            publish(versions.path(version), store, versions, keys=Keys("pymk"))
        return Home(directory, settings)

    return make
