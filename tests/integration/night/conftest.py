"""The first night of a home, and nights after it."""

import shutil
from pathlib import Path

import pytest

from models.publishing.publish import publish
from offline.night.config import NightConfig
from tests.support.homes import First, Home
from tests.support.nights import KEYS, NightHarness


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> First:
    home = Home(tmp_path_factory.mktemp("home"), timeout_s=300)
    ran = home.run("nightly", str(small_network), "--config", str(small_night))
    assert ran.returncode == 0, ran.stderr
    return First(home, small_night, ran.stdout.rstrip("\n"), ran.stdout, ran.stderr)


@pytest.fixture
def harness(first: First, tmp_path: Path, small_network: Path, small_night: Path) -> NightHarness:
    """A home whose active version is a copy of the first night's."""
    made = NightHarness(tmp_path, small_network, NightConfig.read(small_night))
    shutil.copytree(first.directory, made.versions.path(first.version))
    publish(made.versions.path(first.version), made.store, made.versions, keys=KEYS)
    return made
