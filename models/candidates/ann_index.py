"""The FAISS HNSW index of nearest neighbours by embedding, with its recall checked against brute force."""

import json
import os
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from models.candidates.config import IndexConfig
from models.candidates.index_layout import Codes, IndexLayout, layout_of
from models.errors import ArtefactError, GateRefusedError
from models.system import disk
from models.system.files import put_in_place, read_json, remove_tree, sha256, write_json

_BATCH = 4_096
"""rows searched at once"""
_SPARE = 1.5
"""how many times as many neighbours are found by rounded codes as are kept by the embeddings"""
_PRODUCTS_AT_ONCE = 256
"""queries whose neighbours' embeddings are held at once"""
_MANIFEST_FILE = "index.json"
_FORMER_FILE = "index.faiss"
"""the only file of an index of earlier releases"""
_QUANTIZERS: dict[Codes, Any] = {
    "float16": faiss.ScalarQuantizer.QT_fp16,
    "int8": faiss.ScalarQuantizer.QT_8bit,
}
_AS_NEAR = 1e-6
_COPY_OFFSET = 5e-4


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
        vectors, first, found = np.ascontiguousarray(vectors, dtype=np.float32), 0, []
        for shard in self.shards:
            found.append(self._search_shard(shard, vectors, min(asked, max(shard.ntotal, 1)), first))
            first += shard.ntotal
        rows, products = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        if len(self.shards) > 1:
            rows, products = _best(rows, products, asked)
        if is_rounded:
            rows, products = _best(rows, self._products(vectors, rows), wanted)
        short = ((0, 0), (0, k - wanted))
        return np.pad(rows, short, constant_values=-1), np.pad(products, short, constant_values=-np.inf)

    def _products(self, vectors: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """(q, m) float32, the inner products of vectors (q, d) with those of rows (q, m); -inf for the row -1."""
        products = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), _PRODUCTS_AT_ONCE):
            part = slice(start, start + _PRODUCTS_AT_ONCE)
            np.einsum("qd,qmd->qm", vectors[part], self.embeddings[rows[part]], out=products[part])
        return np.where(rows < 0, np.float32(-np.inf), products)

    def _search_shard(
        self, shard: faiss.Index, vectors: NDArray[np.float32], wanted: int, first: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The same in one shard, whose first row is `first`."""
        parameters = None
        if self.manifest.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=max(self.manifest.ef_search, wanted))  # type: ignore[attr-defined]
        products, rows = shard.search(vectors, wanted, params=parameters)
        return (
            np.where(rows < 0, -1, rows + first).astype(np.int32),
            np.where(rows < 0, -np.inf, products).astype(np.float32),
        )

    def nearest_others(self, rows: NDArray[np.int64], k: int) -> NDArray[np.int32]:
        """The k nearest of each of `rows` (u,), excluding itself, (u, k) int32, nearest first, -1 for none."""
        nearest = np.full((len(rows), k), -1, dtype=np.int32)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            found, _ = self.search(self.embeddings[batch], k + 1)
            others = np.argsort(found == batch[:, None], axis=1, kind="stable")[:, :k]
            nearest[start : start + _BATCH] = np.take_along_axis(found, others, axis=1)
        return nearest


def _best(
    rows: NDArray[np.int32], products: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k rows of the highest products, highest first."""
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, best, axis=1), np.take_along_axis(products, best, axis=1)


def build_index(embeddings: NDArray[np.float32], config: IndexConfig, directory: Path) -> VectorIndex:
    """Builds the index of `embeddings` (n, d) float32, rows L2-normalised, and replaces `directory` with it.

    Each shard is written and mapped before the next is built. Links depend on the order in which threads add rows: with
    several threads, two builds may differ. Raises GateRefusedError if recall stays under `recall_least` at the highest
    of `ef_search`; then `directory` is as before. Malkov, Yashunin: Efficient and robust approximate nearest neighbor
    search using HNSW graphs, 2018.
    """
    bound_threads(config.threads)
    users, dimensions = embeddings.shape
    is_flat = users < config.flat_below
    layout = IndexLayout("float32", max(users, 1)) if is_flat else layout_of(users, dimensions, config)
    aside = directory.with_name(f".{directory.name}.aside")
    remove_tree(aside)
    aside.mkdir(parents=True)
    shards, written = [], []
    for number, start in enumerate(layout.starts(users)):
        part = embeddings[start : start + layout.shard_users]
        file = aside / f"shard-{number:04}.faiss"
        with disk.room(file):
            faiss.write_index(_flat(part) if is_flat else _hnsw(part, layout.codes, config), str(file))
        written.append(IndexShard(file=file.name, users=len(part), bytes=file.stat().st_size, sha256=sha256(file)))
        shards.append(_mapped(file))
    manifest = IndexManifest(
        kind="flat" if is_flat else "hnsw",
        users=users,
        dimensions=dimensions,
        codes=layout.codes,
        recall=1.0,
        recall_neighbours=config.recall_neighbours,
        ef_search=0,
        shards=tuple(written),
    )
    index = VectorIndex(tuple(shards), embeddings, manifest)
    if not is_flat:
        index = _reaching_recall(index, config)
    write_json(aside / _MANIFEST_FILE, index.manifest.model_dump())
    put_in_place(aside, directory)
    return index


def _flat(embeddings: NDArray[np.float32]) -> faiss.Index:
    flat = faiss.IndexFlatIP(embeddings.shape[1])
    flat.add(np.ascontiguousarray(embeddings))
    return flat


def _hnsw(embeddings: NDArray[np.float32], codes: Codes, config: IndexConfig) -> faiss.IndexHNSW:
    """The index of the rows of one shard."""
    dimensions, metric = embeddings.shape[1], faiss.METRIC_INNER_PRODUCT
    if codes == "float32":
        hnsw: faiss.IndexHNSW = faiss.IndexHNSWFlat(dimensions, config.links, metric)
    else:
        hnsw = faiss.IndexHNSWSQ(dimensions, _QUANTIZERS[codes], config.links, metric)
    hnsw.hnsw.efConstruction = config.ef_construction
    separate = _separate_copies(embeddings)
    hnsw.train(separate)
    hnsw.add(separate)
    return hnsw


def _reaching_recall(index: VectorIndex, config: IndexConfig) -> VectorIndex:
    """The index with the first of `ef_search` that reaches the recall, and that recall. Raises GateRefusedError."""
    users, kept = index.manifest.users, config.recall_neighbours
    sample = np.sort(np.random.default_rng(config.seed).permutation(users)[: config.recall_sample])
    recall = 0.0
    for ef_search in config.ef_search:
        tried = replace(index, manifest=index.manifest.model_copy(update={"ef_search": ef_search}))
        recall = recall_by_distance(tried, sample, kept)
        if recall >= config.recall_least:
            return replace(index, manifest=tried.manifest.model_copy(update={"recall": recall}))
    raise GateRefusedError(
        f"the index has recall {recall:.3f} of the {kept} nearest at efSearch {config.ef_search[-1]} with "
        f"{index.manifest.codes} codes, under {config.recall_least}: raise links or ef_construction, take wider codes, "
        "or check whether the embeddings have collapsed"
    )


def recall_by_distance(index: VectorIndex, sample: NDArray[np.int64], k: int) -> float:
    """Recall of the k nearest of each sampled row, 0-1.

    Any row as near as the k-th nearest by brute force, within 1e-6, counts: equal vectors are interchangeable.
    """
    table = np.ascontiguousarray(index.embeddings)
    k = min(k, len(table))
    found = 0
    for start in range(0, len(sample), 1_000):
        queries = table[sample[start : start + 1_000]]
        exact, _ = faiss.knn(queries, table, k, metric=faiss.METRIC_INNER_PRODUCT)
        rows, _ = index.search(queries, k)
        products = np.einsum("qd,qkd->qk", queries, table[rows])
        found += int(((products >= exact[:, -1:] - _AS_NEAR) & (rows >= 0)).sum())
    return found / max(len(sample) * k, 1)


def open_index(directory: Path, embeddings: NDArray[np.float32]) -> VectorIndex:
    """The index of a directory, mapped from it, over the embeddings (n, d) that it was built of.

    Raises ArtefactError with the file that is missing, truncated or altered.
    """
    manifest_file = directory / _MANIFEST_FILE
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
            shards.append(_mapped(file))
        except RuntimeError as error:
            raise ArtefactError(f"{file} cannot be read by FAISS {faiss.__version__}: {error}") from error
    found = [(one.ntotal, one.d, one.metric_type, _codes_of(one)) for one in shards]
    wanted = None if manifest.kind == "flat" else manifest.codes
    expected = [(shard.users, manifest.dimensions, faiss.METRIC_INNER_PRODUCT, wanted) for shard in manifest.shards]
    if not found or found != expected or sum(shard.users for shard in manifest.shards) != manifest.users:
        raise ArtefactError(f"{manifest_file} is altered: it does not describe its files ({json.dumps(found)})")
    return VectorIndex(tuple(shards), embeddings, manifest)


def _mapped(file: Path) -> faiss.Index:
    """The index of a file, whose pages are read when they are searched. Raises RuntimeError."""
    return faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)


def _codes_of(index: faiss.Index) -> str | None:
    """The codes of a shard; None if it is brute force."""
    if not isinstance(index, faiss.IndexHNSW):
        return None
    if not isinstance(index, faiss.IndexHNSWSQ):
        return "float32"
    storage: Any = faiss.downcast_index(index.storage)
    return next((codes for codes, kind in _QUANTIZERS.items() if kind == storage.sq.qtype), "unknown")


def bound_threads(threads: int) -> None:
    """Limits FAISS's OpenMP threads in this process; 0: one per core."""
    faiss.omp_set_num_threads(threads or len(os.sched_getaffinity(0)))


def _separate_copies(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The embeddings with each copy of an earlier row moved by 0.0005 in a random direction.

    HNSW's pruning leaves large groups of equal vectors unreachable (users without friends and profile share one
    embedding). The shift changes a cosine by a hundred-thousandth.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel(), return_index=True)
    copies = np.setdiff1d(np.arange(len(rows)), first)
    if not len(copies):
        return rows
    moved = rows.copy()
    directions = np.random.default_rng(0).standard_normal((len(copies), rows.shape[1]), dtype=np.float32)
    moved[copies] += _COPY_OFFSET * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    moved[copies] /= np.linalg.norm(moved[copies], axis=1, keepdims=True)
    return moved
