"""Nights that run in the test's own process, on a store in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.memory import MemoryStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.night.config import NightConfig
from offline.night.former import Retrain
from offline.night.nightly import Night

KEYS = Keys("pymk")


@dataclass(frozen=True)
class Place:
    """A home, what its nights read, and the store that they publish in."""

    home: Path
    data: Path
    config: NightConfig
    store: MemoryStore = field(default_factory=MemoryStore)

    def night(self, retrain: Retrain = "auto", **changed: Any) -> Manifest:
        """The manifest of the version that a night makes, with so much changed in its configuration."""
        config = self.config.model_copy(update=changed)
        night = Night(data=self.data, home=self.home, store=self.store, keys=KEYS, config=config, retrain=retrain)
        version, _ = night.run()
        return self.versions.manifest(version)

    def tables(self, version: str) -> Tables:
        return Tables.open(self.versions.path(version) / "tables")

    @property
    def versions(self) -> Versions:
        return Versions(self.home)

    @property
    def active(self) -> str | None:
        pointer = read_pointer(self.store, keys=KEYS)
        return pointer and pointer.version
