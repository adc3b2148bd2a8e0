"""Nights that publish nothing: refused by their arguments or by the gate, or stopped early."""

import shutil
from pathlib import Path

import pytest

from models.errors import UsageError
from models.publishing.publish import publish
from offline.night.config import NightConfig
from tests.support.contacts import keys_of_uploads
from tests.support.homes import First, Home
from tests.support.nights import KEYS, NightHarness


def test_without_a_version_there_are_no_weights_to_take(tmp_path: Path, small_network: Path) -> None:
    harness = NightHarness(tmp_path, small_network, NightConfig())
    with pytest.raises(UsageError, match="--retrain never needs an active version whose weights this host has"):
        harness.night("never")
    assert not (tmp_path / "night").exists()


def test_the_gate_refuses_and_force_overrides(first: First, small_network: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.toml"
    worse.write_text("[candidates]\nkept = 1\nnearest = 30\n[split]\njudged_users = 80\n")
    night = ("nightly", str(small_network), "--config", str(worse))
    home = Home(tmp_path / "home", timeout_s=300)
    copied = shutil.copytree(first.directory, home.versions.path(first.version))
    with home.opened() as store:
        publish(copied, store, home.versions, keys=KEYS)
    refused = home.run(*night)
    assert (refused.returncode, refused.stdout) == (3, ""), refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("pymk: the quality gate refused to publish: recall@20 is 0.")
    assert "publish it all the same with --force" in refused.stderr
    assert home.active() == first.version
    assert home.versions.ids() == [first.version]

    again = home.run(*night)
    assert again.returncode == 3, again.stderr
    assert "run_resumed" not in again.stderr, "a refusal ends the run"

    forced = home.run(*night, "--force")
    assert forced.returncode == 0, forced.stderr
    assert "run_resumed" in forced.stderr, "what was refused is published"
    assert "gate_overridden" in forced.stderr
    version = forced.stdout.rstrip("\n")
    assert home.active() == version
    assert home.versions.manifest(version).forced
    assert f"{version}\t" in (listed := home.run("versions").stdout)
    assert listed.splitlines()[1].endswith("\tforced")
    assert home.run("rollback").stdout == f"{first.version}\n"


def test_a_night_that_stops_early_leaves_the_address_books_of_the_dataset(
    small_network: Path, small_night: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home", timeout_s=300)
    stopped = home.run("nightly", str(small_network), "--config", str(small_night), "--until", "snapshot")
    assert stopped.returncode == 0, stopped.stderr
    assert home.active() is None
    with home.opened() as store:
        assert not keys_of_uploads(KEYS, small_network) & set(store.scan("pymk:"))
