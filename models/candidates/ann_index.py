"""The FAISS HNSW index of nearest neighbours by embedding, with its recall checked against brute force."""

import json
import os
from dataclasses import dataclass
from math import ceil, isqrt
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from models.candidates.index_layout import Codes
from models.errors import ArtefactError
from models.system.files import read_json, sha256

_BATCH = 4_096
"""rows searched at once"""
_SPARE = 1.5
"""how many times as many neighbours are found by rounded codes as are kept by the embeddings"""
_PRODUCTS_AT_ONCE = 256
"""queries whose neighbours' embeddings are held at once"""
MANIFEST_FILE = "index.json"
_FORMER_FILE = "index.faiss"
"""the only file of an index of earlier releases"""
QUANTIZERS: dict[Codes, Any] = {
    "float16": faiss.ScalarQuantizer.QT_fp16,
    "int8": faiss.ScalarQuantizer.QT_8bit,
}
METRICS: dict[Codes, int] = {
    "float32": faiss.METRIC_INNER_PRODUCT,
    "float16": faiss.METRIC_L2,
    "int8": faiss.METRIC_L2,
}
"""rounded vectors are of different lengths: by inner products all would be linked to the longest"""


class IndexShard(BaseModel):
    """The file of some consecutive rows of an index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    users: int
    bytes: int
    sha256: str


class IndexManifest(BaseModel):
    """Description of an index; of the shards once they are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["flat", "hnsw"]
    metric: Literal["inner_product"] = "inner_product"
    users: int
    dimensions: int
    codes: Codes = "float32"
    recall: float
    """recall of `recall_neighbours` against brute force, by distance"""

    recall_neighbours: int
    ef_search: int
    """0 for a flat index"""

    shards: tuple[IndexShard, ...] = ()
    """in the order of their rows"""

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(shard.bytes for shard in self.shards)

    @model_validator(mode="before")
    @classmethod
    def _of_one_file(cls, given: Any) -> Any:
        """The manifest of a release that wrote one file and named neither it nor its codes."""
        if not isinstance(given, dict) or "sha256" not in given:
            return given
        digest = {"bytes": given["bytes"], "sha256": given["sha256"]} if "bytes" in given else {}
        kept = {name: value for name, value in given.items() if name not in ("bytes", "sha256")}
        return kept | {"shards": [{"file": _FORMER_FILE, "users": given.get("users"), **digest}]}


@dataclass(frozen=True)
class VectorIndex:
    """Nearest neighbours among the rows of one version; row r of the embeddings is row r here."""

    shards: tuple[faiss.Index, ...]
    """of consecutive rows"""
    embeddings: NDArray[np.float32]
    """(users, d) L2-normalised: what codes that are rounded find is put in order by these"""
    manifest: IndexManifest

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rows (q, k) int32 and inner products (q, k) float32 of the nearest to `vectors` (q, d), nearest first.

        A user's own row counts as a neighbour. Past the last neighbour the row is -1 and the product -inf.
        """
        users = max(self.manifest.users, 1)
        wanted, is_rounded = min(k, users), self.manifest.codes != "float32"
        asked = min(ceil(wanted * _SPARE), users) if is_rounded else wanted
        vectors, first = np.ascontiguousarray(vectors, dtype=np.float32), 0
        rows, products = np.empty((len(vectors), 0), np.int32), np.empty((len(vectors), 0), np.float32)
        for shard in self.shards:
            more, their = self._search_shard(shard, vectors, min(asked, max(shard.ntotal, 1)), first)
            if len(self.shards) > 1:
                more, their = _best(np.hstack([rows, more]), np.hstack([products, their]), asked)
            rows, products = more, their
            first += shard.ntotal
        if is_rounded:
            rows, products = _best(rows, self.products(vectors, rows), wanted)
        short = ((0, 0), (0, k - wanted))
        return np.pad(rows, short, constant_values=-1), np.pad(products, short, constant_values=-np.inf)

    def products(self, vectors: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """(q, m) float32, the inner products of vectors (q, d) with those of rows (q, m); -inf for the row -1."""
        products = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), _PRODUCTS_AT_ONCE):
            part = slice(start, start + _PRODUCTS_AT_ONCE)
            np.einsum("qd,qmd->qm", vectors[part], self.embeddings[rows[part]], out=products[part])
        return np.where(rows < 0, np.float32(-np.inf), products)

    def _search_shard(
        self, shard: faiss.Index, vectors: NDArray[np.float32], wanted: int, first: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rows and products (q, wanted) of the nearest in one shard, whose first row is `first`."""
        parameters = None
        if self.manifest.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=max(self.manifest.ef_search, wanted))  # type: ignore[attr-defined]
        found, rows = shard.search(vectors, wanted, params=parameters)
        products = found if shard.metric_type == faiss.METRIC_INNER_PRODUCT else 1 - found / 2
        return (
            np.where(rows < 0, -1, rows + first).astype(np.int32),
            np.where(rows < 0, -np.inf, products).astype(np.float32),
        )

    def nearest_others(self, rows: NDArray[np.int64], k: int) -> NDArray[np.int32]:
        """The k nearest of each of `rows` (u,), excluding itself, (u, k) int32, nearest first, -1 for none."""
        nearest = np.full((len(rows), k), -1, dtype=np.int32)
        order = self._neighbours_in_turn(rows)
        for start in range(0, len(rows), _BATCH):
            places = order[start : start + _BATCH]
            batch = rows[places]
            found, _ = self.search(self.embeddings[batch], k + 1)
            others = np.argsort(found == batch[:, None], axis=1, kind="stable")[:, :k]
            nearest[places] = np.take_along_axis(found, others, axis=1)
        return nearest

    def _neighbours_in_turn(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places in `rows` (u,) in an order in which near ones follow each other.

        They are grouped by the nearest of sqrt(u) of them that are drawn. Each search then reads what the one before it
        left in the cache: a quarter of the time less at 100,000 rows.
        """
        if len(rows) <= _BATCH:
            return np.arange(len(rows))
        chosen = np.random.default_rng(0).permutation(len(rows))[: isqrt(len(rows))]
        centres, groups = self.embeddings[rows[chosen]].T, np.empty(len(rows), np.int32)
        for start in range(0, len(rows), _BATCH):
            groups[start : start + _BATCH] = (self.embeddings[rows[start : start + _BATCH]] @ centres).argmax(axis=1)
        return np.argsort(groups, kind="stable")


def _best(
    rows: NDArray[np.int32], products: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k rows of the highest products, highest first."""
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, best, axis=1), np.take_along_axis(products, best, axis=1)


def open_index(directory: Path, embeddings: NDArray[np.float32]) -> VectorIndex:
    """The index of a directory, mapped from it, over the embeddings (n, d) that it was built of.

    Raises ArtefactError with the file that is missing, truncated or altered.
    """
    manifest_file = directory / MANIFEST_FILE
    try:
        manifest = IndexManifest.model_validate(read_json(manifest_file))
    except ValidationError as error:
        raise ArtefactError(f"{manifest_file} is truncated or altered: {error.errors()[0]['msg']}") from error
    shards = []
    for shard in manifest.shards:
        file = directory / shard.file
        if sha256(file) != shard.sha256:
            raise ArtefactError(f"{file} is truncated or altered: its digest is not the one in {manifest_file}")
        try:
            shards.append(mapped(file))
        except RuntimeError as error:
            raise ArtefactError(f"{file} cannot be read by FAISS {faiss.__version__}: {error}") from error
    found = [(one.ntotal, one.d, one.metric_type, _codes_of(one)) for one in shards]
    wanted = None if manifest.kind == "flat" else manifest.codes
    metric = METRICS[manifest.codes]
    expected = [(shard.users, manifest.dimensions, metric, wanted) for shard in manifest.shards]
    if not found or found != expected or sum(shard.users for shard in manifest.shards) != manifest.users:
        raise ArtefactError(f"{manifest_file} is altered: it does not describe its files ({json.dumps(found)})")
    if embeddings.shape != (manifest.users, manifest.dimensions):
        raise ArtefactError(f"{manifest_file} describes an index of other embeddings than those of {embeddings.shape}")
    return VectorIndex(tuple(shards), embeddings, manifest)


def mapped(file: Path) -> faiss.Index:
    """The index of a file, whose pages are read when they are searched. Raises RuntimeError."""
    return faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)


def _codes_of(index: faiss.Index) -> str | None:
    """The codes of a shard; None if it is brute force."""
    if not isinstance(index, faiss.IndexHNSW):
        return None
    if not isinstance(index, faiss.IndexHNSWSQ):
        return "float32"
    storage: Any = faiss.downcast_index(index.storage)
    return next((codes for codes, kind in QUANTIZERS.items() if kind == storage.sq.qtype), "unknown")


def bound_threads(threads: int) -> None:
    """Limits FAISS's OpenMP threads in this process; 0: one per core."""
    faiss.omp_set_num_threads(threads or len(os.sched_getaffinity(0)))
