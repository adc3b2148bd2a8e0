"""The trainer: what it keeps, when it stops, and that a killed run ends as if nothing had been."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import UsageError
from models.graph import Graph
from models.networks import checkpoint
from models.networks.config import HashConfig, LookupConfig
from models.networks.decoders import ProfileTarget
from models.networks.embedder import EmbedderConfig
from offline.encoders.batch_size import kept_bytes, largest_batch
from offline.encoders.config import TrainingConfig
from offline.encoders.device import autocast, chosen_device, compiled
from offline.encoders.inputs import GraphInputs, ProfileTargets
from offline.encoders.trainer import RunOutput, Trained, train_encoder
from offline.encoders.training_step import embed
from offline.training.resume import RunState
from tests.support.graphs import ENCODERS, LOG, SMALL, Pairs, inputs, shaped, two_cliques


class KilledError(Exception):
    """Stands for SIGKILL between two epochs."""


def trained(
    read: GraphInputs,
    labels: Pairs,
    shape: EmbedderConfig,
    config: TrainingConfig = SMALL,
    directory: Path | None = None,
    killed_after: int | None = None,
) -> Trained:
    def kill(state: RunState) -> None:
        if state.epoch == killed_after:
            raise KilledError

    return train_encoder(read, labels, shape, config, seed=3, output=RunOutput(LOG, directory, kill))


def weights(run: Trained) -> dict[str, torch.Tensor]:
    return run.model.state_dict()


def equal(first: Trained, second: Trained) -> bool:
    return all(torch.equal(tensor, weights(second)[name]) for name, tensor in weights(first).items())


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_run_killed_after_any_epoch_ends_with_the_same_weights(name: str, epoch: int, tmp_path: Path) -> None:
    read, labels = two_cliques(size=8)
    shape = shaped(ENCODERS[name] | {"dropout": 0.2}, read, LookupConfig(width=4))
    config = SMALL.model_copy(update={"epochs": 6, "plateau_patience": 0})
    whole = trained(read, labels, shape, config)
    with pytest.raises(KilledError):
        trained(read, labels, shape, config, tmp_path, killed_after=epoch)
    resumed = trained(read, labels, shape, config, tmp_path)
    assert len(resumed.history) == 6
    assert equal(whole, resumed)
    assert [line["loss"] for line in whole.history] == [line["loss"] for line in resumed.history]


def test_a_run_with_other_dials_does_not_resume_from_the_state_of_this_one(tmp_path: Path) -> None:
    read, labels = two_cliques(size=8)
    shape = shaped({"name": "gcn"}, read)
    trained(read, labels, shape, SMALL.model_copy(update={"epochs": 2}), tmp_path)
    other = SMALL.model_copy(update={"epochs": 3})
    assert equal(trained(read, labels, shape, other, tmp_path), trained(read, labels, shape, other))


def test_a_truncated_state_counts_as_none(tmp_path: Path) -> None:
    read, labels = two_cliques(size=8)
    shape, config = shaped({"name": "gcn"}, read), SMALL.model_copy(update={"epochs": 2})
    whole = trained(read, labels, shape, config, tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    assert equal(whole, trained(read, labels, shape, config, tmp_path))


def test_sampled_steps_learn_and_resume_as_well(tmp_path: Path) -> None:
    read, labels = two_cliques(size=10)
    attributes = np.random.default_rng(0).random((read.edge_index.shape[1], 4), dtype=np.float32)
    read = inputs(read.graph, read.features.numpy(), attributes)
    shape, config = shaped({"name": "gat"}, read), SMALL.model_copy(update={"epochs": 8, "fan_outs": (4, 3)})
    whole = trained(read, labels, shape, config)
    assert whole.history[-1]["loss"] < 0.8 * whole.history[0]["loss"]
    with pytest.raises(KilledError):
        trained(read, labels, shape, config, tmp_path, killed_after=2)
    assert equal(whole, trained(read, labels, shape, config, tmp_path))


def test_checkpoints_hold_class_configuration_and_metrics_and_load_without_pickle(tmp_path: Path) -> None:
    read, labels = two_cliques(size=8)
    shape = shaped({"name": "gat"}, read, HashConfig(width=4))
    run = trained(read, labels, shape, SMALL.model_copy(update={"epochs": 4, "checkpoint_every": 2}), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    kept = {
        f"{name}{suffix}"
        for name in ("best", "last", "epoch-0002", "epoch-0004")
        for suffix in (".json", ".safetensors")
    }
    assert names == kept | {"history.json", "loss.png", "state.safetensors"}
    best = checkpoint.load(tmp_path / "best")
    assert best.config == shape
    assert best.metrics == run.metrics
    assert best.metrics["worth"] == max(line["worth"] for line in run.history)
    assert torch.equal(embed(checkpoint.load(tmp_path / "best").model, read), embed(run.model, read))


def test_prefixes_of_compiling_are_stripped(tmp_path: Path) -> None:
    read, _ = two_cliques(size=8)
    shape = shaped({"name": "gcn"}, read)
    torch.manual_seed(0)
    model = trained(read, (np.zeros(0, np.int64), np.zeros(0, np.int64)), shape).model
    before = embed(model, read)
    model.encoder = torch.compile(model.encoder, backend="eager")  # type: ignore[assignment]
    assert any("_orig_mod." in name for name in model.state_dict())
    checkpoint.save(tmp_path / "part", model, shape, {})
    checkpoint.save(
        tmp_path / "whole", torch.compile(checkpoint.load(tmp_path / "part").model, backend="eager"), shape, {}
    )
    for name in ("part", "whole"):
        assert torch.equal(embed(checkpoint.load(tmp_path / name).model, read), before)


def test_training_stops_when_nothing_is_gained_and_the_learning_rate_falls_before() -> None:
    read, labels = two_cliques(size=8)
    config = SMALL.model_copy(update={"epochs": 500, "max_steps": 5000, "patience": 6, "plateau_patience": 1})
    run = trained(read, labels, shaped({"name": "gcn"}, read), config)
    assert len(run.history) < 200
    gains = [line["gain"] for line in run.history]
    assert len(gains) - gains.index(max(gains)) == 7
    rates = [line["learning_rate"] for line in run.history]
    assert rates[-1] < rates[0] == config.learning_rate
    assert all(later <= earlier for earlier, later in pairwise(rates))


def test_a_limit_makes_a_run_short() -> None:
    read, labels = two_cliques(size=8)
    run = trained(read, labels, shaped({"name": "gcn"}, read), SMALL.limited(3))
    assert [line["step"] for line in run.history] == [3]


def test_masked_profiles_are_told_from_friends() -> None:
    """In one clique all say 0, in the other 1; a quarter never told."""
    read, labels = two_cliques()
    said = torch.arange(32) // 16
    told = said.clone()
    told[::4] = -1
    sets = torch.nn.functional.one_hot(said, 2).float()
    targets = ProfileTargets(
        (ProfileTarget(column="school", kind="one", values=2), ProfileTarget(column="clubs", kind="several", values=2)),
        [told, sets],
    )
    config = SMALL.model_copy(update={"profile_weight": 1.0, "masked_share": 0.5, "epochs": 30, "patience": 30})
    shape = shaped({"name": "graphsage"}, read, targets=targets)
    run = train_encoder(replace(read, targets=targets), labels, shape, config, seed=0, output=RunOutput(LOG))
    losses = [line["loss_profile"] for line in run.history]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    for one in range(0, 32, 4):
        features = read.features.clone()
        features[one] = 0
        with torch.no_grad():
            school, clubs = run.model.profile_head(embed(run.model, replace(read, features=features))[one : one + 1])
        assert school.argmax() == said[one]
        assert torch.equal(clubs[0] > 0, sets[one] > 0)


def test_labels_that_messages_pass_over_are_refused() -> None:
    read, _ = two_cliques()
    with pytest.raises(ValueError, match="edges of the message-passing graph"):
        trained(read, (np.array([0]), np.array([16])), shaped({"name": "gcn"}, read))


def test_an_encoder_that_needs_no_labels_is_told_none() -> None:
    read, labels = two_cliques(size=8)
    shape = shaped({"name": "dgi"}, read)
    numbers = np.arange(1, 1 + len(labels[0]))
    strangers = numbers % 8, 8 + numbers // 8
    told = {"epochs": 3, "batch_pairs": 2, "max_steps": 12}
    one, two = (trained(read, pairs, shape, SMALL.model_copy(update=told)) for pairs in (labels, strangers))
    assert "loss_links" not in one.history[0]
    assert one.history[0]["loss_own"] == two.history[0]["loss_own"]


def test_the_probe_takes_the_largest_step_that_fits() -> None:
    weight = torch.ones(1000, requires_grad=True)

    def forward(pairs: int) -> torch.Tensor:
        return (weight[:1] * torch.ones(pairs, 1000)).exp().sum()

    kept = {pairs: kept_bytes(lambda pairs=pairs: forward(pairs)) for pairs in (64, 128, 256)}
    assert kept[256] > 1.8 * kept[128] > 3 * kept[64]
    assert largest_batch(forward, 100_000, int(2.6 * kept[256])) == 256
    assert largest_batch(forward, 200, 10**12) == 128
    assert largest_batch(forward, 100_000, 0) == 64


def test_a_probed_run_trains_with_what_the_probe_chose() -> None:
    read, labels = two_cliques(size=20)
    config = SMALL.model_copy(update={"batch_pairs": "probe", "epochs": 2, "memory_share": 1e-9})
    run = trained(read, labels, shaped({"name": "gcn"}, read), config)
    assert run.batch_pairs == 64


def test_lower_precision_trains_as_well_and_keeps_weights_in_float32() -> None:
    read, labels = two_cliques()
    config = SMALL.model_copy(update={"mixed_precision": "always"})
    for name in ("graphsage", "graphsage max", "gat", "vgae"):
        run = trained(read, labels, shaped(ENCODERS[name], read), config)
        assert all(tensor.dtype != torch.bfloat16 for tensor in weights(run).values())
        assert run.history[-1]["loss"] < run.history[0]["loss"]
    with autocast(torch.device("cpu"), "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_where_compiling_fails_the_plain_function_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object, **dials: object) -> object:
        def fails(*arguments: object) -> object:
            raise RuntimeError("no compiler")

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    twice = compiled(lambda x: 2 * x, torch.device("cpu"), "always", 1, LOG)
    assert [twice(1), twice(4)] == [2, 8]


def test_compiling_is_left_to_long_runs_on_cuda() -> None:
    def plain(x: int) -> int:
        return x

    for device, choice, steps in (("cpu", "auto", 5000), ("cuda", "auto", 20), ("cuda", "never", 5000)):
        assert compiled(plain, torch.device(device), choice, steps, LOG) is plain  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused_by_name() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="device cuda"):
            chosen_device("cuda")
        assert chosen_device("auto").type in ("cpu", "mps")


def test_nothing_to_learn_leaves_the_encoder_as_it_begins() -> None:
    read = inputs(Graph.from_pairs(3, [0], [1]), np.eye(3, dtype=np.float32))
    run = trained(read, (np.zeros(0, np.int64), np.zeros(0, np.int64)), shaped({"name": "gcn"}, read))
    assert run.history == []
    assert torch.isfinite(embed(run.model, read)).all()


def test_a_run_begins_with_weights_that_are_given_and_resumes_from_no_other(tmp_path: Path) -> None:
    read, labels = two_cliques(size=8)
    shape = shaped({"name": "gcn"}, read)
    none = SMALL.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "least_learning_rate": 1e-13})
    weights_of = trained(read, labels, shape).model.encoder.state_dict()
    begins = {name: torch.full_like(one, 0.1) for name, one in weights_of.items()}

    def begun(config: TrainingConfig, given: dict[str, torch.Tensor] | None, directory: Path | None) -> Trained:
        return train_encoder(read, labels, shape, config, seed=3, output=RunOutput(LOG, directory), begins=given)

    for name, one in begun(none, begins, None).model.encoder.state_dict().items():
        torch.testing.assert_close(one, begins[name], atol=1e-6, rtol=0)
    config = SMALL.model_copy(update={"epochs": 2})
    begun(config, None, tmp_path)
    assert equal(begun(config, begins, tmp_path), begun(config, begins, None))
