"""Builds the index: shard by shard, with copies of a vector kept apart, until its recall suffices."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from models.candidates.ann_index import (
    MANIFEST_FILE,
    METRICS,
    QUANTIZERS,
    IndexManifest,
    IndexShard,
    VectorIndex,
    bound_threads,
    mapped,
)
from models.candidates.config import IndexConfig
from models.candidates.index_layout import Codes, IndexLayout, layouts_of
from models.candidates.index_recall import RecallSample
from models.errors import GateRefusedError
from models.system.files import put_in_place, remove_tree, sha256, write_json, writing

_COPY_OFFSET: dict[Codes, float] = {"float32": 5e-4, "float16": 2e-3, "int8": 3e-2}
"""how far a copy of a vector is moved, so that its code differs"""
_HASHED_AT_ONCE = 8_192


def build_index(
    embeddings: NDArray[np.float32], config: IndexConfig, directory: Path, room: int | None = None
) -> VectorIndex:
    """Builds the index of `embeddings` (n, d) float32, rows L2-normalised, and replaces `directory` with it.

    `room` are the bytes that building may take, None for as many as there are (layouts_of). Each shard is written and
    mapped before the next is built. Links depend on the order in which threads add rows: with several threads, two
    builds may differ. Raises GateRefusedError if recall stays under `recall_least` at the highest of `ef_search` in
    every layout; then `directory` is as before. Malkov, Yashunin: Efficient and robust approximate nearest neighbor
    search using HNSW graphs, 2018.
    """
    bound_threads(config.threads)
    users, dimensions = embeddings.shape
    aside = directory.with_name(f".{directory.name}.aside")
    refusals = []
    try:
        for layout in layouts_of(users, dimensions, config, room):
            remove_tree(aside)
            aside.mkdir(parents=True)
            try:
                index = _reaching_recall(_built(embeddings, layout, config, aside), config)
            except GateRefusedError as error:
                refusals.append(error)
                continue
            write_json(aside / MANIFEST_FILE, index.manifest.model_dump())
            put_in_place(aside, directory)
            return index
    finally:
        remove_tree(aside)
    raise refusals[-1]


def _built(embeddings: NDArray[np.float32], layout: IndexLayout, config: IndexConfig, directory: Path) -> VectorIndex:
    """The index whose shards are written to `directory` and mapped, with neither efSearch nor recall."""
    users, dimensions = embeddings.shape
    is_flat = users < max(config.flat_below, 1)
    shards, written = [], []
    for number, start in enumerate(layout.starts(users)):
        part = embeddings[start : start + layout.shard_users]
        file = directory / f"shard-{number:04}.faiss"
        shard = _flat(part) if is_flat else _hnsw(part, layout.codes, config)
        with writing(file) as content:
            faiss.write_index(shard, cast("Any", faiss).PyCallbackIOWriter(content.write))
        del shard
        written.append(IndexShard(file=file.name, users=len(part), bytes=file.stat().st_size, sha256=sha256(file)))
        shards.append(mapped(file))
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
    return VectorIndex(tuple(shards), embeddings, manifest)


def _flat(embeddings: NDArray[np.float32]) -> faiss.Index:
    flat = faiss.IndexFlatIP(embeddings.shape[1])
    flat.add(np.ascontiguousarray(embeddings))
    return flat


def _hnsw(embeddings: NDArray[np.float32], codes: Codes, config: IndexConfig) -> faiss.IndexHNSW:
    """The index of the rows of one shard."""
    dimensions, metric = embeddings.shape[1], METRICS[codes]
    if codes == "float32":
        hnsw: faiss.IndexHNSW = faiss.IndexHNSWFlat(dimensions, config.links, metric)
    else:
        hnsw = faiss.IndexHNSWSQ(dimensions, QUANTIZERS[codes], config.links, metric)
    hnsw.hnsw.efConstruction = config.ef_construction
    separate = _separate_copies(embeddings, _COPY_OFFSET[codes])
    hnsw.train(separate)
    hnsw.add(separate)
    return hnsw


def _reaching_recall(index: VectorIndex, config: IndexConfig) -> VectorIndex:
    """The index with the first of `ef_search` that reaches the recall, and that recall; a flat one as it is.

    Raises GateRefusedError.
    """
    if index.manifest.kind == "flat":
        return index
    users, kept = index.manifest.users, config.recall_neighbours
    rows = np.random.default_rng(config.seed).permutation(users)[: config.recall_sample]
    sample, recall = RecallSample(index.embeddings, rows, kept), 0.0
    for ef_search in config.ef_search:
        tried = replace(index, manifest=index.manifest.model_copy(update={"ef_search": ef_search}))
        recall = sample.recall(tried, config.recall_least)
        if recall >= config.recall_least:
            return replace(index, manifest=tried.manifest.model_copy(update={"recall": recall}))
    raise GateRefusedError(
        f"the index has recall {recall:.3f} of the {kept} nearest at efSearch {config.ef_search[-1]} with "
        f"{index.manifest.codes} codes, under {config.recall_least}: raise links or ef_construction, take wider codes, "
        "or check whether the embeddings have collapsed"
    )


def _separate_copies(embeddings: NDArray[np.float32], offset: float) -> NDArray[np.float32]:
    """The embeddings with each copy of an earlier row moved by `offset` in a random direction.

    HNSW's pruning leaves large groups of equal vectors unreachable (users without friends and profile share one
    embedding). By 0.0005 a cosine changes by a hundred-thousandth; codes that are rounded need more to differ, and
    what they find is put in order by the embeddings.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    hashes = _hashes(rows)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    copies = np.sort(order[1:][hashes[1:] == hashes[:-1]])
    if not len(copies):
        return rows
    moved, random = rows.copy(), np.random.default_rng(0)
    for start in range(0, len(copies), _HASHED_AT_ONCE):
        part = copies[start : start + _HASHED_AT_ONCE]
        directions = random.standard_normal((len(part), rows.shape[1]), dtype=np.float32)
        moved[part] += offset * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        moved[part] /= np.linalg.norm(moved[part], axis=1, keepdims=True)
    return moved


def _hashes(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n,) a hash of the bits of each row (n, d): equal rows have the same, and others hardly ever."""
    n, d = rows.shape
    weights = np.random.default_rng(1).integers(1 << 63, size=d, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(n, np.uint64)
    for start in range(0, n, _HASHED_AT_ONCE):
        part = slice(start, start + _HASHED_AT_ONCE)
        hashes[part] = (rows[part].view(np.uint32).astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    return hashes
