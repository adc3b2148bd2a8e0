"""`torchrun -m offline.train`: two processes train what one does, and a killed one ends both and loses little."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline.night.model_bundle import ModelBundle
from offline.synth import directory, network
from tests.support.clock import wait_for
from tests.support.homes import SMALL_NIGHT, Home

WAIT_S = 240.0
CHANGED = {
    "fan_outs = [5, 3]": "fan_outs = [250, 250]",
    "max_steps = 8": "max_steps = 24",
    "evaluations = 2": "evaluations = 12\nnewcomer_share = 0.0\nstate_every_s = 0.0",
    "epochs = 2": "epochs = 5\nsparse_friends = 0",
}
"""of a night of seconds: no draws that processes make on their own, and more epochs"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 people whose friendships have no dates, so that the ranker's head learns epoch by epoch."""
    path = tmp_path_factory.mktemp("undated") / "DATA"
    directory.write(network.generate(250, 12, seed=3), path)
    (path / "interactions.csv").unlink()
    connections = path / "connections.csv"
    lines = [line.split(",")[:2] for line in connections.read_text().splitlines()]
    connections.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a night of seconds, in which two processes can be compared with one."""
    text = SMALL_NIGHT + "\n[index]\nthreads = 1\n"
    for old, new in CHANGED.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("night") / "night.toml"
    path.write_text(text)
    return path


def command(processes: int, *arguments: str) -> list[str]:
    if processes == 1:
        return [sys.executable, "-P", "-m", "offline.train", *arguments]
    torchrun = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return [*torchrun, "--nproc-per-node", str(processes), "-m", "offline.train", *arguments]


@contextmanager
def started(home: Home, processes: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**home.environment, "GLOO_SOCKET_IFNAME": "lo"}
    with subprocess.Popen(
        command(processes, *arguments), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(home: Home, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    with started(home, processes, *arguments) as process:
        stdout, stderr = process.communicate(timeout=WAIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def events(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


def named(stderr: str, event: str) -> list[dict[str, Any]]:
    return [line for line in events(stderr) if line["event"] == event]


def bundle_of(home: Home) -> ModelBundle:
    return ModelBundle.open(home.path / "night" / "training")


def weights_of(bundle: ModelBundle) -> dict[str, np.ndarray]:
    assert bundle.ranker is not None
    parts = {"encoder": bundle.embedder, "ranker": bundle.ranker}
    return {f"{part}.{name}": one.numpy() for part, model in parts.items() for name, one in model.state_dict().items()}


def test_two_processes_train_what_one_does_and_a_night_publishes_it(data: Path, config: Path, tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one"), Home(tmp_path / "two", timeout_s=WAIT_S)
    alone = ended(one, 1, str(data), "--config", str(config))
    assert alone.returncode == 0, alone.stderr
    both = ended(two, 2, str(data), "--config", str(config))
    assert both.returncode == 0, both.stderr

    # the same losses, epoch by epoch, and nearly the same encoder
    assert [(line["processes"], line["device"]) for line in named(both.stderr, "processes_joined")] == [(2, "cpu")]
    for event in ("encoder_epoch", "ranker_epoch"):
        losses, of_one = ([line["loss"] for line in named(run.stderr, event)] for run in (both, alone))
        assert len(losses) == len(of_one) > 3
        np.testing.assert_allclose(losses, of_one, rtol=0.02)
    expected = bundle_of(one).embedder.state_dict()
    for name, tensor in bundle_of(two).embedder.state_dict().items():
        np.testing.assert_allclose(tensor, expected[name], atol=0.01, err_msg=name)

    # the night goes on with these weights
    trained = bundle_of(two)
    night = two.run("nightly", str(data), "--config", str(config), "--force")
    assert night.returncode == 0, night.stderr
    version = night.stdout.strip()
    assert version == both.stdout.strip() == two.active()
    assert not named(night.stderr, "encoder_training_begins")
    published = ModelBundle.open(two.versions.path(version))
    assert published.training == trained.training
    expected = weights_of(trained)
    assert all(np.array_equal(weights, expected[name]) for name, weights in weights_of(published).items())


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_both_and_the_same_command_goes_on(
    rank: int, data: Path, config: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.toml"
    text = config.read_text().replace("evaluations = 12", "evaluations = 60\npatience = 60")
    long.write_text(
        text.replace("max_steps = 24", "max_steps = 60").replace("epochs = 5", "epochs = 60\npatience = 60")
    )
    arguments = str(data), "--config", str(long)
    whole, home = Home(tmp_path / "whole"), Home(tmp_path / "killed")
    uninterrupted = ended(whole, 2, *arguments)
    assert uninterrupted.returncode == 0, uninterrupted.stderr

    # killed in the encoder, and then in the ranker
    killed(home, arguments, rank, "encoder_epoch", 5)
    in_ranker = killed(home, arguments, rank, "ranker_epoch", 5)
    assert named(in_ranker, "training_resumed")[0]["epoch"] >= 4
    assert named(in_ranker, "encoder_epoch")[0]["epoch"] >= 5

    # the rest
    resumed = ended(home, 2, *arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert not named(resumed.stderr, "encoder_epoch"), "the encoder was finished"
    assert named(resumed.stderr, "training_lists_kept")
    assert named(resumed.stderr, "ranker_resumed")[0]["epoch"] >= 4
    assert len(named(resumed.stderr, "ranker_epoch")) <= 56

    # is what an uninterrupted training makes
    found, expected = bundle_of(home), bundle_of(whole)
    weights = weights_of(expected)
    for name, tensor in weights_of(found).items():
        assert np.array_equal(tensor, weights[name]), name
    metrics = (one.training.metrics | {"sage_seconds": 0.0} for one in (found, expected))
    assert next(metrics) == next(metrics)
    assert not list((home.path / "night").glob(".*.checkpoints"))


def killed(home: Home, arguments: tuple[str, ...], rank: int, event: str, epoch: int) -> str:
    """Starts two processes, kills the one of this rank with SIGKILL after an epoch, and awaits the end of all.

    Returns what they said.
    """
    said, workers = list[str](), dict[int, int]()
    with started(home, 2, *arguments) as process:
        for line in process.stderr or ():
            said.append(line)
            told = json.loads(line) if line.startswith("{") else {}
            workers = workers or (ranks_of(process.pid) if told.get("event") == "processes_joined" else {})
            if told.get("event") == event and told["epoch"] >= epoch:
                os.kill(workers[rank], signal.SIGKILL)
                break
        _, rest = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, "".join(said) + rest
    assert f"exitcode  : -{int(signal.SIGKILL)}" in rest
    if rank:  # rank 0 says what to do; others end without a word if torchrun is faster than they
        assert "the same command goes on from the last checkpoint" in rest
    assert sorted(workers) == [0, 1]
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers.values()))
    assert not (home.path / "night" / "training").exists()
    return "".join(said) + rest


def ranks_of(launcher: int) -> dict[int, int]:
    """By rank the processes that torchrun has started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher:
                told = dict(one.split("=", 1) for one in (path / "environ").read_text().split("\0") if "=" in one)
                if "RANK" in told:
                    found[int(told["RANK"])] = int(path.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def test_wrong_input_ends_all_with_one_line(data: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "gpus.toml"
    wanted.write_text('[sage]\ndevice = "cuda"\n')
    home = Home(tmp_path / "home")
    cases = [
        (("no-such-directory",), "no-such-directory is not a directory"),
        ((str(data), "--config", str(wanted)), "device cuda: some machine has fewer GPUs than processes"),
    ]
    for arguments, expected in cases:
        run = ended(home, 2, *arguments)
        assert run.returncode == 1
        (said,) = (line for line in run.stderr.splitlines() if line.startswith(("offline.train:", "offline.train, ")))
        assert expected in said
        assert not (home.path / "night").exists()
    alone = ended(home, 1, "no-such-directory")
    assert alone.returncode == 2
    assert alone.stderr.strip().startswith("offline.train: no-such-directory is not a directory")


def test_help_teaches() -> None:
    said = subprocess.run(command(1, "--help"), capture_output=True, text=True, check=True).stdout
    for word in ("torchrun --standalone", "--retrain", "pymk nightly", "checkpoint"):
        assert word in said
