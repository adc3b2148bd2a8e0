"""A network and a night small enough for a test."""

from pathlib import Path

import pytest

from offline.synth import directory, network
from tests.support.homes import SMALL_NIGHT


@pytest.fixture(scope="session")
def small_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a night of seconds, whose model learns little."""
    path = tmp_path_factory.mktemp("night") / "night.toml"
    path.write_text(SMALL_NIGHT)
    return path


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset directory of 250 people; not to be changed."""
    data = tmp_path_factory.mktemp("network") / "DATA"
    directory.write(network.generate(250, 12, seed=3), data)
    return data
