"""Two processes for the tests of this folder, which take seconds to start."""

from collections.abc import Iterator

import pytest

from tests.support.offline.two_processes import TwoProcesses, two_processes


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProcesses]:
    """Two processes that train together."""
    with two_processes(tmp_path_factory.mktemp("pair")) as both:
        yield both
