"""Checkpoints come back as they went, and nothing that was touched comes back at all."""

import json
from pathlib import Path

import pytest
import torch

from models.errors import ArtefactError
from models.networks import checkpoint
from models.networks.config import GraphSageConfig
from models.networks.graphsage import GraphSage

CONFIG = GraphSageConfig(inputs=5, hidden=7, outputs=3, carried_columns=(1, 4))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, GraphSage]:
    torch.manual_seed(0)
    model = GraphSage(CONFIG)
    checkpoint.save(tmp_path / "graphsage", model, CONFIG, {"mrr": 0.25}, ["degree", "a", "b", "c", "d"])
    return tmp_path / "graphsage", model


def test_a_network_comes_back_with_what_stood_beside_it(saved: tuple[Path, GraphSage]) -> None:
    path, model = saved
    read = checkpoint.load(path)
    assert isinstance(read.model, GraphSage)
    assert not read.model.training
    assert (read.config, read.metrics, read.features) == (CONFIG, {"mrr": 0.25}, ["degree", "a", "b", "c", "d"])
    before, after = model.state_dict(), read.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(saved: tuple[Path, GraphSage], suffix: str, share: float) -> None:
    path, _ = saved
    file = path.with_name(path.name + suffix)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArtefactError, match=f"graphsage{suffix} is truncated or altered"):
        checkpoint.load(path)


def test_one_flipped_bit_in_the_weights_is_refused(saved: tuple[Path, GraphSage]) -> None:
    path, _ = saved
    file = path.with_name("graphsage.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"graphsage\.safetensors"):
        checkpoint.load(path)


def test_an_altered_description_is_refused(saved: tuple[Path, GraphSage]) -> None:
    path, _ = saved
    file = path.with_name("graphsage.json")
    description = json.loads(file.read_bytes())
    description["metrics"]["mrr"] = 0.99
    file.write_text(json.dumps(description))
    with pytest.raises(ArtefactError, match=r"graphsage\.json"):
        checkpoint.load(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file_is_named(saved: tuple[Path, GraphSage], suffix: str) -> None:
    path, _ = saved
    path.with_name(path.name + suffix).unlink()
    with pytest.raises(ArtefactError, match=f"graphsage{suffix} is missing"):
        checkpoint.load(path)


def test_only_networks_of_this_project_are_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"models\.networks"):
        checkpoint.save(tmp_path / "linear", torch.nn.Linear(2, 2), CONFIG, {})
    assert list(tmp_path.iterdir()) == []
