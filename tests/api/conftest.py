"""The service on the store in memory, with a version of eight people or none."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiHarness, open_service
from tests.support.versions import MakeVersion

OpenPlace = Callable[..., Any]


@pytest.fixture
def open_place(tmp_path: Path, make_version: MakeVersion) -> OpenPlace:
    """Opens a service with these settings, something published unless told: `async with open_place() as service`."""
    return partial(open_service, tmp_path, make_version)


@pytest.fixture
async def service(open_place: OpenPlace) -> AsyncIterator[ApiHarness]:
    """A service that serves a version of eight people."""
    async with open_place() as opened:
        yield opened
