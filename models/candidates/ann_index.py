"""The FAISS HNSW index of nearest neighbours by embedding, with its recall checked against brute force."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.candidates.config import IndexConfig
from models.errors import ArtefactError, GateRefusedError
from models.system import disk
from models.system.files import put_in_place, read_json, remove_tree, sha256, write_json

_BATCH = 4_096
"""rows searched at once"""
_INDEX_FILE, _MANIFEST_FILE = "index.faiss", "index.json"
_AS_NEAR = 1e-6
_COPY_OFFSET = 5e-4


class IndexManifest(BaseModel):
    """Description of the saved index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["flat", "hnsw"]
    metric: Literal["inner_product"] = "inner_product"
    users: int
    dimensions: int
    recall: float
    """recall of `recall_neighbours` against brute force, by distance"""

    recall_neighbours: int
    ef_search: int
    """0 for a flat index"""

    bytes: int = 0
    sha256: str = ""
    """digest of index.faiss; empty until written"""


@dataclass(frozen=True)
class VectorIndex:
    """Nearest neighbours among the rows of one version; row r of the embeddings is row r here."""

    index: faiss.Index
    manifest: IndexManifest

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rows (q, k) int32 and inner products (q, k) float32 of the nearest to `vectors` (q, d), nearest first.

        A user's own row counts as a neighbour. Past the last neighbour the row is -1 and the product -inf.
        """
        wanted = min(k, max(self.manifest.users, 1))
        parameters = None
        if self.manifest.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=max(self.manifest.ef_search, wanted))  # type: ignore[attr-defined]
        products, rows = self.index.search(np.ascontiguousarray(vectors, dtype=np.float32), wanted, params=parameters)
        products = np.where(rows < 0, -np.inf, products).astype(np.float32)
        short = ((0, 0), (0, k - wanted))
        return np.pad(rows.astype(np.int32), short, constant_values=-1), np.pad(
            products, short, constant_values=-np.inf
        )

    def nearest_others(self, embeddings: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> NDArray[np.int32]:
        """The k nearest of each of `rows` (u,), excluding itself, (u, k) int32, nearest first, -1 for none."""
        nearest = np.full((len(rows), k), -1, dtype=np.int32)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            found, _ = self.search(embeddings[batch], k + 1)
            others = np.argsort(found == batch[:, None], axis=1, kind="stable")[:, :k]
            nearest[start : start + _BATCH] = np.take_along_axis(found, others, axis=1)
        return nearest


def build_index(embeddings: NDArray[np.float32], config: IndexConfig) -> VectorIndex:
    """The index of `embeddings` (n, d) float32, rows L2-normalised.

    Links depend on the order in which threads add rows: with several threads, two builds may differ. Raises
    GateRefusedError if recall stays under `recall_least` at the highest of `ef_search`. Malkov, Yashunin: Efficient and
    robust approximate nearest neighbor search using HNSW graphs, 2018.
    """
    bound_threads(config.threads)
    users, dimensions = embeddings.shape
    kept = config.recall_neighbours
    if users < config.flat_below:
        flat = faiss.IndexFlatIP(dimensions)
        flat.add(np.ascontiguousarray(embeddings))
        manifest = IndexManifest(
            kind="flat", users=users, dimensions=dimensions, recall=1.0, recall_neighbours=kept, ef_search=0
        )
        return VectorIndex(flat, manifest)
    hnsw = faiss.IndexHNSWFlat(dimensions, config.links, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = config.ef_construction
    hnsw.add(_separate_copies(embeddings))
    sample = np.sort(np.random.default_rng(config.seed).permutation(users)[: config.recall_sample])
    recall = 0.0
    for ef_search in config.ef_search:
        manifest = IndexManifest(
            kind="hnsw", users=users, dimensions=dimensions, recall=0.0, recall_neighbours=kept, ef_search=ef_search
        )
        index = VectorIndex(hnsw, manifest)
        recall = recall_by_distance(index, embeddings, sample, kept)
        if recall >= config.recall_least:
            return VectorIndex(hnsw, manifest.model_copy(update={"recall": recall}))
    raise GateRefusedError(
        f"the index has recall {recall:.3f} of the {kept} nearest at efSearch {config.ef_search[-1]}, under "
        f"{config.recall_least}: raise links or ef_construction, or check whether the embeddings have collapsed"
    )


def recall_by_distance(index: VectorIndex, embeddings: NDArray[np.float32], sample: NDArray[np.int64], k: int) -> float:
    """Recall of the k nearest of each sampled row, 0-1.

    Any row as near as the k-th nearest by brute force, within 1e-6, counts: equal vectors are interchangeable.
    """
    k = min(k, len(embeddings))
    table = np.ascontiguousarray(embeddings)
    found = 0
    for start in range(0, len(sample), 1_000):
        queries = table[sample[start : start + 1_000]]
        exact, _ = faiss.knn(queries, table, k, metric=faiss.METRIC_INNER_PRODUCT)
        rows, _ = index.search(queries, k)
        products = np.einsum("qd,qkd->qk", queries, table[rows])
        found += int(((products >= exact[:, -1:] - _AS_NEAR) & (rows >= 0)).sum())
    return found / max(len(sample) * k, 1)


def save_index(index: VectorIndex, directory: Path) -> IndexManifest:
    """Writes index.faiss and index.json, then replaces `directory` by one rename."""
    aside = directory.with_name(f".{directory.name}.aside")
    remove_tree(aside)
    aside.mkdir(parents=True)
    file = aside / _INDEX_FILE
    with disk.room(file):
        faiss.write_index(index.index, str(file))
    manifest = index.manifest.model_copy(update={"bytes": file.stat().st_size, "sha256": sha256(file)})
    write_json(aside / _MANIFEST_FILE, manifest.model_dump())
    put_in_place(aside, directory)
    return manifest


def open_index(directory: Path) -> VectorIndex:
    """The index of a directory. Raises ArtefactError with the file that is missing, truncated or altered."""
    file, manifest_file = directory / _INDEX_FILE, directory / _MANIFEST_FILE
    try:
        manifest = IndexManifest.model_validate(read_json(manifest_file))
    except ValidationError as error:
        raise ArtefactError(f"{manifest_file} is truncated or altered: {error.errors()[0]['msg']}") from error
    if sha256(file) != manifest.sha256:
        raise ArtefactError(f"{file} is truncated or altered: its digest is not the one in {manifest_file}")
    try:
        index = faiss.read_index(str(file))
    except RuntimeError as error:
        raise ArtefactError(f"{file} cannot be read by FAISS {faiss.__version__}: {error}") from error
    found = (index.ntotal, index.d, index.metric_type, isinstance(index, faiss.IndexHNSW))
    if found != (manifest.users, manifest.dimensions, faiss.METRIC_INNER_PRODUCT, manifest.kind == "hnsw"):
        raise ArtefactError(f"{manifest_file} is altered: it does not describe {file} ({json.dumps(found)})")
    return VectorIndex(index, manifest)


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
