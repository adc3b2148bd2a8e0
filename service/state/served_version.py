"""A version that is ready to rank, and how it is made ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from models.publishing.erasure_guard import OldVersions
from models.publishing.publish import pull_tables
from models.publishing.transfer import Loader
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from service.ranking.pipeline import Ranking
from service.ranking.rerank import RerankSettings
from service.ranking.viewer import Scorer
from service.state.warmup import warm_up

_PAGE_BYTES = 4096

NO_ARMS: Mapping[str, str] = MappingProxyType({})


class OpenScorer(Protocol):
    """Opens the ranker of a version's `model` directory."""

    def __call__(self, directory: Path) -> Scorer: ...


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version ready to rank; as long as it is referenced, its files stay mapped."""

    version: str
    manifest: Manifest
    ranking: Ranking
    arms: Mapping[str, str] = field(default_factory=lambda: NO_ARMS)
    """by experiment, the arm whose rules it ranks by"""
    tables: Tables = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", self.ranking.tables)

    @property
    def has_heads(self) -> bool:
        """Whether its night learned heads of outcomes."""
        told = self.manifest.ranker.get("outcomes")
        return isinstance(told, dict) and bool(told.get("learned"))


class VersionOpener:
    """Opens versions from this host's disk, else from the store. Blocking: meant for a thread."""

    def __init__(
        self, store: SyncStore, versions: Versions, keys: Keys, open_scorer: OpenScorer, settings: RerankSettings
    ) -> None:
        self._store = store
        self._versions = versions
        self._keys = keys
        self._open_scorer = open_scorer
        self._settings = settings

    def open(self, version: str) -> ServedVersion:
        """The version, warmed up: every page of its tables was read once, and every kernel ran.

        Raises VersionError if neither disk nor store has it, ArtefactError if its files are damaged.
        """
        directory = pull_tables(self._store, version, self._versions, keys=self._keys)
        manifest = Manifest.read(directory)
        tables = Tables.open(directory / "tables")
        _touch(tables)
        if self._settings.suspicious.is_on and tables.suspicion is None:
            structlog.get_logger().warning("rule_without_effect", rule="suspicious", version=version)
        ranking = Ranking(tables, self._open_scorer(directory / "model"), self._settings, version)
        warm_up(ranking)
        served = ServedVersion(version, manifest, ranking)
        if self._settings.blend and not served.has_heads:
            structlog.get_logger().warning("setting_without_effect", setting="outcome_blend", version=version)
        return served

    def clear(self, active: str) -> None:
        """Removes versions from this host's disk that hold erased people whom the active one does not hold."""
        OldVersions(Loader(self._store, self._keys), self._versions, active).remove_from_disk()

    def on_disk(self, version: str) -> bool:
        """Whether this host has the files of the version."""
        return version in self._versions.ids()


def _touch(tables: Tables) -> None:
    """Reads one byte of every page of the mapped arrays that ranking uses, and makes what finds ids and values."""
    for array in vars(tables).values():
        mapped = [array.indptr, array.indices] if hasattr(array, "indptr") else [getattr(array, "codes", array)]
        for part in mapped:
            if isinstance(part, np.ndarray) and part.nbytes:
                _pages(part)
    _pages(tables.vocabulary.text)
    tables.vocabulary.prepare()
    tables.value_codes  # noqa: B018  # fills the cached property


def _pages(array: NDArray[np.generic]) -> int:
    """Reads one byte of every page; returns their sum."""
    flat = array.reshape(-1).view(np.uint8)
    return int(flat[::_PAGE_BYTES].sum())
