"""A canary before anybody sees it: vectors and lists of both versions for the same people tell broken copies."""

import csv
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.publishing.canary_record import Canary, Guardrail
from models.publishing.transfer import Loader
from models.version.tables import Tables
from offline.night.config import NightConfig
from offline.night.nightly import Night
from offline.synth import directory, network
from service.worker.canary.shadow import Shadow
from tests.support.canary.broken import BROKEN, Breaking, copied, name_another_ranker
from tests.support.nights import KEYS, NightHarness

PEOPLE = 600
NAMES = {
    "embeddings": {"towers", "embeddings"},
    "calibration": {"odds"},
    "blocks": {"candidates"},
    "scores": {"agreement"},
}
"""guardrails that must fail"""


def run_night(harness: NightHarness, data: Path, seed: int) -> str:
    sage = harness.config.sage.model_copy(update={"seed": seed})
    config = harness.config.model_copy(update={"sage": sage, "warm_start": False})
    night = Night(data, harness.home, harness.store, KEYS, config, retrain="always", force=True)
    return night.run()[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_night: Path) -> tuple[NightHarness, str, str]:
    """Two whole nights: the second one trained anew, with another seed, on a tenth fewer friendships."""
    path = tmp_path_factory.mktemp("shadow")
    directory.write(network.generate(PEOPLE, 12, seed=4), path / "DATA")
    shutil.copytree(path / "DATA", path / "FEWER")
    with (path / "DATA" / "connections.csv").open() as rows:
        head, *pairs = csv.reader(rows)
    with (path / "FEWER" / "connections.csv").open("w", newline="") as out:
        csv.writer(out).writerows([head, *random.Random(1).sample(pairs, round(0.9 * len(pairs)))])
    harness = NightHarness(path / "home", path / "DATA", NightConfig.read(small_night))
    one = run_night(harness, path / "DATA", 0)
    return harness, one, run_night(harness, path / "FEWER", 7)


def shadowed(harness: NightHarness, control: str, version: str) -> dict[str, Guardrail]:
    """The guardrails of a canary whose candidates are in the store, by name."""
    path = harness.versions.path(version)
    Loader(harness.store, KEYS).load(path, harness.versions.manifest(version))
    now = datetime.now(UTC)
    canary = Canary(version=version, control=control, share=0.05, started_at=now, stepped_at=now, who="ann@host")

    def tables_of(of: str) -> Tables:
        return Tables.open(harness.versions.path(of) / "tables")

    found = Shadow(harness.store, KEYS, harness.versions, tables_of).guardrails(canary)
    return {one.name: one for one in found}


@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_broken_copy_is_told_by_name_without_a_viewer(made: tuple[NightHarness, str, str], broken: str) -> None:
    harness, active, _ = made
    version = copied(harness.versions, active, BROKEN[broken], hours=2 + list(BROKEN).index(broken))
    found = shadowed(harness, active, version)
    assert {name for name, one in found.items() if one.verdict == "failed"} == NAMES[broken], found
    assert all(one.sentence and one.limit is not None for one in found.values())


@pytest.mark.parametrize("breaking", [None, name_another_ranker], ids=["whole", "unreadable ranker"])
def test_a_copy_fails_nothing(made: tuple[NightHarness, str, str], breaking: Breaking | None) -> None:
    harness, active, _ = made
    found = shadowed(harness, active, copied(harness.versions, active, breaking, hours=10 if breaking else 11))
    assert {one.verdict for one in found.values()} == {"ok"}
    lists = {"agreement", "odds"}
    assert found.keys() == {"candidates", "towers", "embeddings"} | (set() if breaking else lists)


def test_a_version_that_learned_anew_from_other_data_fails_nothing(made: tuple[NightHarness, str, str]) -> None:
    harness, active, other = made
    found = shadowed(harness, active, other)
    assert {name: one.verdict for name, one in found.items()} == dict.fromkeys(found, "ok"), found
    assert found["agreement"].canary is not None
    assert 0.15 < found["agreement"].canary < 1
