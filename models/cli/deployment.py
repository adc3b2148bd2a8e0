"""What commands on versions work on: a home, its store and their settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.candidate_refresh.replay import Replay
    from models.settings import Settings
    from models.store.keys import Keys
    from models.store.protocol import SyncStore
    from models.version.local_versions import Versions


@dataclass(frozen=True)
class Deployment:
    """A home, its store and their settings."""

    settings: "Settings"
    store: "SyncStore"
    versions: "Versions"
    keys: "Keys"


@contextmanager
def opened() -> Iterator[Deployment]:
    """The deployment that the settings name; its store is closed at the end."""
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.local_versions import Versions

    settings = Settings()
    store = open_sync(settings)
    try:
        yield Deployment(settings, store, Versions(settings.home), Keys(settings.namespace))
    finally:
        store.close()


def replaying_of(deployment: Deployment) -> "Replay":
    """Brings a version up to date here, or queues it for a worker if its files are not on this host."""
    from models.candidate_refresh.replay import replaying

    settings = deployment.settings
    return replaying(
        deployment.store, deployment.versions, deployment.keys, settings.forbidden_days, settings.all_contexts
    )
