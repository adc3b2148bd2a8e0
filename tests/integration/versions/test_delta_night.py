"""A delta night: candidates for those whose friends or profile changed, in the spaces of the active version."""

import csv
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from models.candidates.config import CandidateConfig
from models.candidates.generator import CONFIG, CandidateGenerator
from models.errors import UsageError, VersionError
from models.publishing.audit import Actor
from models.publishing.canary import start_canary
from models.publishing.canary_ending import end_canary
from models.publishing.publish import activate, rollback
from models.ranker.ranker import Ranker
from models.system import files
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.evaluation.report import Report
from offline.night.config import NightConfig
from offline.night.delta.inputs import ActiveState
from offline.night.nightly import Night
from offline.synth import directory, network
from tests.support.canary.broken import copied
from tests.support.memory_store import MemoryStore
from tests.support.nights import KEYS, NightHarness

PEOPLE = 800
CHANGED = 0.01
"""share of the friendships"""
FIRST = 20


def delta_night(harness: NightHarness) -> Manifest:
    data, home, store = harness.data, harness.home, harness.store
    night = Night(data=data, home=home, store=store, keys=KEYS, config=harness.config, delta=True)
    return harness.versions.manifest(night.run()[0])


def rewrite(path: Path, change: object) -> None:
    with path.open() as rows:
        reader = csv.DictReader(rows)
        found, names = list(reader), reader.fieldnames
    found = change(found)  # type: ignore[operator]
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, names or [])
        writer.writeheader()
        writer.writerows(found)


def replace_friendships(data: Path, seed: int = 1) -> None:
    """Ends some friendships and makes as many new ones."""
    draw = random.Random(seed)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        there = {frozenset((row["user_id"], row["other_id"])) for row in rows}
        people = sorted({one for pair in there for one in pair})
        drop = set(draw.sample(range(len(rows)), round(len(rows) * CHANGED / 2)))
        kept = [row for at, row in enumerate(rows) if at not in drop]
        while len(kept) < len(rows):
            pair = frozenset(draw.sample(people, 2))
            if pair not in there:
                there.add(pair)
                kept.append({**rows[0], **dict(zip(("user_id", "other_id"), sorted(pair), strict=True))})
        return kept

    rewrite(data / "connections.csv", change)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, small_night: Path) -> NightHarness:
    """A network and its first, whole night; not to be changed."""
    data = tmp_path_factory.mktemp("network") / "DATA"
    directory.write(network.generate(PEOPLE, 12, seed=5), data)
    harness = NightHarness(tmp_path_factory.mktemp("home"), data, NightConfig.read(small_night))
    Night(data=data, home=harness.home, store=harness.store, keys=KEYS, config=harness.config, force=True).run()
    return harness


@pytest.fixture
def harness(first: NightHarness, tmp_path: Path) -> NightHarness:
    shutil.copytree(first.data, tmp_path / "DATA")
    shutil.copytree(first.home / "versions", tmp_path / "home" / "versions")
    store = MemoryStore()
    copy = NightHarness(tmp_path / "home", tmp_path / "DATA", first.config, store)
    from models.publishing.publish import publish

    (version,) = copy.versions.ids()
    publish(copy.versions.path(version), store, copy.versions, keys=KEYS)
    return copy


def blocks_of(harness: NightHarness, version: str) -> dict[str, bytes]:
    path = harness.versions.path(version)
    vocabulary = harness.tables(version).vocabulary
    blocks = Blocks.open(path / "blocks", len(vocabulary))
    return {vocabulary.user_id(row): record for row, record in blocks.records()}


def around(harness: NightHarness, version: str) -> dict[str, tuple[set[str], set[str]]]:
    """By person, the friends and those who may not be shown."""
    tables = harness.tables(version)
    names = [tables.vocabulary.user_id(row) for row in range(tables.n)]
    graphs = tables.graph, tables.forbidden
    return {
        name: tuple({names[other] for other in graph.neighbours(row).tolist()} for graph in graphs)  # type: ignore[misc]
        for row, name in enumerate(names)
    }


def lists_of(harness: NightHarness, version: str) -> dict[str, list[str]]:
    """The first people of everybody's list, as the ranker scores them."""
    path = harness.versions.path(version)
    tables, ranker = Tables.open(path / "tables"), Ranker.open(path / "model")
    found = {}
    for person, record in blocks_of(harness, version).items():
        block = Block.unpack(record)
        best = np.argsort(-ranker.scores(tables, block, "web"), kind="stable")[:FIRST]
        found[person] = [tables.vocabulary.user_id(row) for row in block.rows[best].tolist()]
    return found


def test_lists_made_anew_are_those_of_a_whole_night_with_the_same_weights(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    replace_friendships(harness.data)
    made = delta_night(harness)
    assert harness.active == made.version
    own, former = blocks_of(harness, made.version), blocks_of(harness, before)
    there = around(harness, before)
    changed = {one for one, now in around(harness, made.version).items() if now != there[one]} & own.keys()
    assert len(changed) > 50
    assert (made.delta_of, made.remade) == (before, len(changed))
    assert {one for one in own if own[one] != former[one]} <= changed
    # every candidate made anew in the same spaces: a whole night that keeps weights, vectors and index
    path = harness.versions.path(made.version)
    tables, generator = harness.tables(made.version), CandidateGenerator.open(path)
    for person in sorted(changed):
        assert generator.block(tables.vocabulary.row(person)).pack() == own[person], person  # type: ignore[arg-type]
    # a whole night that keeps the trained weights alone, and so has other vectors
    delta = lists_of(harness, made.version)
    whole = lists_of(harness, harness.night("never").version)
    shared = [len({*delta[one]} & {*whole[one]}) / max(len(whole[one]), 1) for one in changed]
    print(f"\n{len(changed)} of {PEOPLE} people, {np.mean(shared):.3f} of the first {FIRST} are the same")  # noqa: T201
    assert np.mean(shared) > 0.8


def test_where_nothing_changed_everybody_keeps_their_candidates(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    made = delta_night(harness)
    assert made.remade == 0
    assert blocks_of(harness, made.version) == blocks_of(harness, before)
    report = Report.read(harness.versions.path(made.version))
    assert report.retraining is None, "a delta night trains nothing"
    assert {check.name for check in report.gate} >= {"people_lost", "schema", "index_recall", "served", "parity"}


def test_people_come_and_leave(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    people = sorted(harness.tables(before).vocabulary.user_ids())
    gone, friends, shown = people[10], people[20:24], {"discoverable": "true", "active": "true"}
    rewrite(
        harness.data / "connections.csv",
        lambda rows: (
            [row for row in rows if gone not in (row["user_id"], row["other_id"])]
            + [{**rows[0], "user_id": one, "other_id": "zoe"} for one in friends]
        ),
    )
    rewrite(
        harness.data / "users.csv",
        lambda rows: [row for row in rows if row["user_id"] != gone] + [{**rows[0], **shown, "user_id": "zoe"}],
    )
    rewrite(
        harness.data / "interactions.csv",
        lambda rows: [row for row in rows if gone not in (row["user_id"], row["other_id"])],
    )
    made = delta_night(harness)
    tables = harness.tables(made.version)
    assert tables.vocabulary.row("zoe") is not None
    assert tables.vocabulary.row(gone) is None  # type: ignore[arg-type]
    lists = lists_of(harness, made.version)
    assert len(lists["zoe"]) == FIRST
    assert all(gone not in shown for shown in lists.values())
    generator = CandidateGenerator.open(harness.versions.path(made.version))
    zoe = tables.vocabulary.row("zoe")  # type: ignore[arg-type]
    near = {other for one in friends for other in around(harness, made.version)[one][0]} - {*friends, "zoe"}
    found = [generator.block(tables.vocabulary.row(one)).rows.tolist() for one in sorted(near)]  # type: ignore[arg-type]
    assert any(zoe in rows for rows in found), "whoever gets candidates anew may see somebody new"
    former = lists_of(harness, before)
    untouched = [one for one in former if one in lists and gone not in former[one] and one not in {*friends, "zoe"}]
    same = [len({*former[one]} & {*lists[one]}) / FIRST for one in untouched]
    assert np.mean(same) > 0.9, "rows moved, people did not"


def test_a_night_after_a_delta_night_goes_on_from_it(harness: NightHarness) -> None:
    replace_friendships(harness.data)
    one = delta_night(harness)
    replace_friendships(harness.data, seed=2)
    two = delta_night(harness)
    assert two.delta_of == one.version
    ActiveState.open(harness.versions.path(two.version))
    whole = harness.night("never")
    assert (whole.delta_of, whole.remade) == (None, None)
    assert harness.active == whole.version


def test_a_delta_night_without_an_active_version_is_refused(first: NightHarness, tmp_path: Path) -> None:
    nothing = NightHarness(tmp_path, first.data, first.config)
    with pytest.raises(UsageError, match="--delta needs an active version whose files this host has"):
        delta_night(nothing)


def test_a_delta_night_beside_a_canary_is_refused_before_it_does_anything(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    canary = copied(harness.versions, before, None)
    by = Actor("ann@host")
    start_canary(harness.store, harness.versions, canary, 0.05, keys=KEYS, by=by)
    with pytest.raises(VersionError, match=f"--delta: version {canary} is the canary, which this night would end"):
        delta_night(harness)
    assert sorted(harness.versions.ids()) == sorted((before, canary))
    end_canary(harness.store, harness.versions, "aborted", keys=KEYS, by=by)
    assert delta_night(harness).delta_of == before


def test_a_delta_night_goes_on_from_what_is_active_after_a_rollback(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    later = copied(harness.versions, before, None)
    activate(harness.store, harness.versions, later, keys=KEYS)
    made = Night(harness.data, harness.home, harness.store, KEYS, harness.config, delta=True, until="version").run()[0]
    assert harness.versions.manifest(made).delta_of == later
    rollback(harness.store, harness.versions, keys=KEYS)
    assert delta_night(harness).delta_of == before


def test_other_candidate_settings_wait_for_a_whole_night(harness: NightHarness) -> None:
    kept = harness.config.candidates.kept
    config = harness.config.model_copy(update={"candidates": CandidateConfig(kept=kept // 4)})
    replace_friendships(harness.data)
    changed = NightHarness(harness.home, harness.data, config, harness.store)
    with capture_logs() as logs:
        made = delta_night(changed)
    (told,) = [line for line in logs if line["event"] == "candidate_settings_kept"]
    assert (told["log_level"], "kept" in told["differing"]) == ("warning", True)
    assert max(len(Block.unpack(record)) for record in blocks_of(harness, made.version).values() if record) > kept // 4
    report = Report.read(harness.versions.path(made.version))
    assert {check.name: check.verdict for check in report.gate}["parity"] == "passed"


def test_who_is_absent_gets_as_few_candidates_as_in_a_whole_night(harness: NightHarness) -> None:
    before = harness.active
    assert before is not None
    directory = harness.versions.path(before)
    settings = files.read_json(directory / "candidates" / CONFIG)
    files.write_json(directory / "candidates" / CONFIG, {**settings, "absent_days": 0.001, "kept_of_absent": 30})
    harness.versions.manifest(before).with_files(directory).write(directory)
    replace_friendships(harness.data)
    made = delta_night(harness)
    own, former = blocks_of(harness, made.version), blocks_of(harness, before)
    remade = [one for one in own if own[one] != former.get(one)]
    assert len(remade) == made.remade
    lengths = {one: len(Block.unpack(own[one])) for one in remade}
    assert set(lengths.values()) <= {30, harness.config.candidates.kept}
    assert sum(length == 30 for length in lengths.values()) > 0.9 * len(remade), "whoever was seen last is not absent"
    fewer = harness.config.candidates.model_copy(update={"absent_days": 0.001, "kept_of_absent": 30})
    whole = blocks_of(harness, harness.night("never", candidates=fewer).version)
    assert {one: len(Block.unpack(whole[one])) for one in remade} == lengths


def test_other_columns_are_refused(harness: NightHarness) -> None:
    head, *text = (harness.data / "users.csv").read_text().splitlines()
    shod = [f"{head},shoe", *(f"{line},{('left', 'right')[at % 2]}" for at, line in enumerate(text))]
    (harness.data / "users.csv").write_text("".join(f"{line}\n" for line in shod))
    with pytest.raises(UsageError, match="--delta keeps the active version's columns, but shoe changed"):
        delta_night(harness)
