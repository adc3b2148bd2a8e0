"""Nights that learn from outcomes: heads in the version, in the manifest, in the gate, and away again."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
import pytest

from models.event_log.event import Entry
from models.event_log.write_profile import write_erasure
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.exposure_record import ExposureRecord, ListHead
from models.outcomes.filed_rows import rows_of
from models.ranker.outcome_heads import DESCRIPTION, WEIGHTS
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker
from models.schema.statistic_names import LOG_DEGREE
from models.schema.vocabulary import Row, UserId
from models.store.keys import shard_of
from models.store.transaction import Append, Commit
from models.system.clock import now_us
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.evaluation.report import Report
from offline.gate.outcomes import ACCEPTED, FRIENDSHIPS
from offline.night.config import NightConfig
from offline.night.former import Retrain
from offline.night.model_bundle import ModelBundle
from offline.night.nightly import Night
from offline.night.outcomes.learn import learn_outcomes
from offline.outcomes.join import Windows
from offline.ranker.outcome_heads.config import OutcomesConfig
from tests.support.memory_store import AsyncMemoryStore
from tests.support.nights import KEYS, NightHarness

PLACES, LISTS, SECOND = 10, 4, 1_000_000
ENOUGH = OutcomesConfig(least_invited=50, least_accepted=30, least_viewers=30, least_dismissed=10**6)
FILES = {f"model/{WEIGHTS}", f"model/{DESCRIPTION}"}


@dataclass(frozen=True)
class Log:
    """A home whose people pass over the well connected, and its first version."""

    harness: NightHarness
    version: str


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> Log:
    config = NightConfig.read(small_night)
    harness = NightHarness(tmp_path_factory.mktemp("learning"), small_network, config)
    version = harness.night(retrain="auto").version
    show_and_act(harness, version)
    return Log(harness, version)


def show_and_act(harness: NightHarness, version: str) -> None:
    """Files lists of everybody, the best by links first, and what viewers and those invited do."""
    directory, random = harness.versions.path(version), np.random.default_rng(5)
    tables = Tables.open(directory / "tables")
    blocks, ranker = Blocks.open(directory / "blocks", tables.n), Ranker.open(directory / "model")
    records: list[ExposureRecord] = []
    entries: list[Entry] = []
    start, id_of = now_us() - 3600 * SECOND, tables.vocabulary.user_id
    for row in blocks.rows().tolist():
        block = with_product(tables.towers, Block.unpack(blocks.record(row), tables.n), tables.towers.query(row))
        logits = ranker.logits(tables, block)
        for number in range(LISTS):
            places = np.argsort(-logits - random.gumbel(size=len(logits)) * 0.5)[:PLACES]
            context = ("web", "email")[number % 2]
            head = ListHead(start + number, f"r-{row}-{number}", version, context, id_of(row), "ranked", {})
            scores = np.sort(random.random(len(places)).astype(np.float32))[::-1]
            records.append(
                ExposureRecord(
                    head,
                    block.rows[places],
                    scores,
                    block.sources[places],
                    places.astype(np.uint16),
                    block.codes[:, places].T,
                    block.low,
                    block.high,
                )
            )
            known = tables.statistics[block.rows[places], LOG_DEGREE]
            odds = -1.5 - 2.5 * (known - tables.statistics[:, LOG_DEGREE].mean())
            looked = np.arange(1, len(places) + 1) ** -0.7
            for at in np.flatnonzero(random.random(len(places)) < looked / (1 + np.exp(-odds))).tolist():
                viewer, other = id_of(row), id_of(Row(int(block.rows[places[at]])))
                entries.append(
                    Entry(
                        "invite", viewer, start + (1 + len(entries)) * SECOND, other, start, request_id=head.request_id
                    )
                )
                if random.random() < 0.4:
                    entries.append(Entry("accept", other, start + (1 + len(entries)) * SECOND, viewer, start))
    frame, lost = rows_of(records, lambda _: tables)
    assert lost == 0
    with ExposureFiles(harness.home).locked():
        ExposureFiles(harness.home).write(frame, f"{start // 1000}-0", f"{start // 1000}-9")
    for entry in entries:
        harness.store.commit([Commit(appends=[Append(KEYS.log(shard_of(entry.user_id)), entry.encode())])])


def night(harness: NightHarness, *, delta: bool = False, outcomes: OutcomesConfig = ENOUGH) -> Manifest:
    """A night that keeps the weights of the ranker; the few people of the network let no check of lists refuse it."""
    config = harness.config.model_copy(update={"outcomes": outcomes})
    retrain: Retrain = "auto" if delta else "never"
    run = Night(harness.data, harness.home, harness.store, KEYS, config, retrain, force=True, delta=delta)
    return harness.versions.manifest(run.run()[0])


@pytest.fixture(scope="module")
def learned(log: Log) -> Manifest:
    return night(log.harness)


def checks_of(log: Log, manifest: Manifest) -> dict[str, str]:
    report = Report.read(log.harness.versions.path(manifest.version))
    return {check.name: check.verdict for check in report.gate}


def test_a_night_without_a_list_says_that_links_alone_rank(log: Log) -> None:
    manifest = log.harness.versions.manifest(log.version)
    told = manifest.ranker["outcomes"]
    assert told["learned"] is False
    assert "no list that was given out is filed" in told["said"]
    assert not FILES & set(manifest.files)
    checks = checks_of(log, manifest)
    assert checks[ACCEPTED] == checks[FRIENDSHIPS] == "skipped"


def test_a_night_with_enough_outcomes_serves_what_it_learned(log: Log, learned: Manifest) -> None:
    told = learned.ranker["outcomes"]
    assert told["learned"] is True
    assert "invitations" in told["said"]
    assert told["accepted_ratio"]["value"] > 1
    assert set(learned.files) >= FILES
    checks = checks_of(log, learned)
    assert checks[ACCEPTED] == "passed"
    assert checks[FRIENDSHIPS] in ("passed", "skipped")
    assert checks["parity"] == "passed"
    directory = log.harness.versions.path(learned.version)
    tables, ranker = Tables.open(directory / "tables"), Ranker.open(directory / "model")
    blocks = Blocks.open(directory / "blocks", tables.n)

    def fame(one: Ranker) -> float:
        """Mean log degree of the first people of lists."""
        first = []
        for row in blocks.rows().tolist():
            block = Block.unpack(blocks.record(row), tables.n)
            first += block.rows[np.argsort(-one.scores(tables, block, "web"))[:PLACES]].tolist()
        return float(tables.statistics[first, LOG_DEGREE].mean())

    assert fame(ranker) < fame(ranker.with_outcomes(None)) - 0.1, "the well connected are passed over"
    by_links = ranker.blended((("accepted", 0.0), ("dismissed", 0.0), ("friendship", 1.0), ("invited", 0.0)))
    assert fame(by_links) == pytest.approx(fame(ranker.with_outcomes(None))), "other powers, without a night"


def test_what_it_learned_is_beside_the_ranker_which_is_as_before(log: Log, learned: Manifest) -> None:
    before = log.harness.versions.manifest(log.version)
    for name in ("model/ranker.safetensors", "model/ranker.json", "learnt/graphsage.safetensors"):
        assert before.files[name].sha256 == learned.files[name].sha256, name


def test_a_delta_night_keeps_the_heads_and_a_night_that_may_not_learn_drops_them(log: Log, learned: Manifest) -> None:
    kept = night(log.harness, delta=True)
    assert {name: kept.files[name].sha256 for name in FILES} == {name: learned.files[name].sha256 for name in FILES}
    assert kept.ranker["outcomes"] == learned.ranker["outcomes"]
    dropped = night(log.harness, outcomes=OutcomesConfig(learn=False))
    assert not FILES & set(dropped.files)
    assert dropped.ranker["outcomes"]["said"] == "links alone: outcomes.learn is false"
    assert dropped.files["model/ranker.safetensors"].sha256 == learned.files["model/ranker.safetensors"].sha256


def test_a_blend_that_gives_friendships_away_is_judged(log: Log, learned: Manifest) -> None:
    report = Report.read(log.harness.versions.path(learned.version))
    assert report.friendships_kept is not None
    assert 0 <= report.friendships_kept.low <= report.friendships_kept.value <= report.friendships_kept.high


def test_the_erased_are_in_no_table(log: Log, learned: Manifest) -> None:
    harness = log.harness
    ranker = ModelBundle.open(harness.versions.path(learned.version)).ranker
    assert ranker is not None

    def shown() -> int:
        """People that a night learns from."""
        found = learn_outcomes(harness.home, harness.store, KEYS, Windows(), ranker, ENOUGH)
        assert found.report.learned
        return found.report.shown

    rows, before = ExposureFiles(harness.home).scan(), shown()
    assert before == len(rows)
    gone = rows["viewer"][0]
    anyio.run(write_erasure, AsyncMemoryStore(harness.store), KEYS, UserId(gone))
    naming = ((rows["viewer"] == gone) | (rows["candidate"] == gone)).sum()
    assert naming > PLACES
    assert shown() == before - naming, "the files still have them until the worker has purged them"
    assert len(ExposureFiles(harness.home).scan()) == len(rows)
