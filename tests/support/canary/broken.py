"""Copies of a version that are broken in ways that a canary must notice, and whole ones."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from models.candidates.ann_index import open_index
from models.candidates.config import CandidateConfig
from models.candidates.generator import CONFIG, CandidateGenerator, IndexNearest
from models.networks.ranker_head import RankerHead
from models.schema.columns import Flag
from models.system import files
from models.version.block_file import Blocks, write_blocks
from models.version.local_versions import Versions, new_id
from models.version.tables import Tables
from offline.night.model_bundle import ModelBundle

Breaking = Callable[[Path], None]


def copied(versions: Versions, version: str, breaking: Breaking | None = None, hours: float = 1) -> str:
    """Copies a version to one made so much later, breaks it, and seals it as the gate would with --force."""
    manifest = versions.manifest(version)
    start = manifest.created_at + timedelta(hours=hours)
    copy = new_id(start)
    directory = Path(shutil.copytree(versions.path(version), versions.path(copy)))
    if breaking is not None:
        breaking(directory)
    fields = {"version": copy, "created_at": start, "forced": breaking is not None}
    manifest.model_copy(update=fields).with_files(directory).write(directory)
    return copy


def shuffle_embeddings(directory: Path) -> None:
    """Every embedding and every vector of the towers is somebody else's, in the candidates and in the scores."""
    tables = Tables.open(directory / "tables")
    generator = CandidateGenerator.open(directory)
    inputs = generator.candidate_inputs
    order = np.random.default_rng(1).permutation(tables.n)
    towers = replace(inputs.towers, codes=np.ascontiguousarray(inputs.towers.codes[order]))
    inputs = replace(inputs, embeddings=np.ascontiguousarray(inputs.embeddings[order]), towers=towers)
    config = CandidateConfig.model_validate(files.read_json(directory / "candidates" / CONFIG))
    near = IndexNearest(open_index(directory / "index", inputs.embeddings))
    active = np.flatnonzero(tables.flags & np.uint8(Flag.ACTIVE)).astype(np.int64)
    records = [b""] * tables.n
    for pools in CandidateGenerator(inputs, near, config, 1).batches(active):
        for block in pools.blocks():
            records[block.viewer] = block.pack()
    _rewrite_blocks(directory, records)
    towers.save(directory / "tables")
    inputs.save(directory / "candidates")


def promise_too_much(directory: Path) -> None:
    """The calibration is that of odds a thousand times as high; the order of lists stays."""
    _with_ranker(directory, lambda model: model.calibration[1].add_(7))


def invert_scores(directory: Path) -> None:
    """The scores are upside down: whoever fits least comes first."""
    _with_ranker(directory, lambda model: [weights.neg_() for weights in (model.past.weight, model.last.weight)])


def empty_a_tenth_of_the_blocks(directory: Path) -> None:
    """Every tenth person has no candidates."""
    blocks = Blocks.open(directory / "blocks", Tables.open(directory / "tables").n)
    _rewrite_blocks(directory, [b"" if row % 10 == 0 else blocks.record(row) for row in range(len(blocks))])


def name_another_ranker(directory: Path) -> None:
    """The service cannot open it: its ranker is of a kind that no release knows."""
    files.write_json(directory / "model" / "ranker.json", {"kind": "oracle"})


BROKEN: dict[str, Breaking] = {
    "embeddings": shuffle_embeddings,
    "calibration": promise_too_much,
    "blocks": empty_a_tenth_of_the_blocks,
    "scores": invert_scores,
}


def _with_ranker(directory: Path, change: Callable[[RankerHead], object]) -> None:
    bundle = ModelBundle.open(directory)
    if bundle.ranker is None:
        raise ValueError(f"{directory} has no trained ranker")
    with torch.no_grad():
        change(bundle.ranker)
    bundle.save(directory)


def _rewrite_blocks(directory: Path, records: list[bytes]) -> None:
    shutil.rmtree(directory / "blocks")
    write_blocks(directory / "blocks", records)
