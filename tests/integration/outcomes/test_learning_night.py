"""Nights that learn from outcomes: heads in the version, in the manifest, in the gate, and away again."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
import polars as pl
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
from offline.gate.outcomes import ACCEPTED, FRIENDSHIPS, PARITY
from offline.monitor.compare_outcomes import NOTHING_KEPT
from offline.monitor.html import GROUPS
from offline.monitor.reference import ReferenceStatistics
from offline.night.config import NightConfig
from offline.night.former import Retrain
from offline.night.model_bundle import ModelBundle
from offline.night.nightly import Night
from offline.night.outcomes.learn import learn_outcomes
from offline.outcomes.join import Windows
from offline.ranker.outcome_heads.config import OutcomesConfig
from tests.support.memory_store import AsyncMemoryStore
from tests.support.nights import FORBIDDEN_DAYS, KEYS, NightHarness

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


def test_a_night_keeps_how_lists_were_served_and_says_what_it_could_not_compare(learned: Manifest, log: Log) -> None:
    directory = log.harness.versions.path(learned.version)
    kept, drift = ReferenceStatistics.read(directory), Report.read(directory).drift
    assert kept is not None
    assert kept.outcomes is not None
    assert kept.outcomes.lists == kept.outcomes.viewers * LISTS
    assert (kept.outcomes.sources, kept.outcomes.scored) == ({}, None), "the windows of these lists are open"
    first = ReferenceStatistics.read(log.harness.versions.path(log.version))
    assert first is not None
    assert first.outcomes is None, "nothing was recorded before the first night"
    assert drift is not None
    assert drift.note == NOTHING_KEPT
    assert {check.group for check in drift.checks} == GROUPS.keys() - {"outcomes", "weights"}


def test_a_night_without_a_list_says_that_links_alone_rank(log: Log) -> None:
    manifest = log.harness.versions.manifest(log.version)
    told = manifest.ranker["outcomes"]
    assert told["learned"] is False
    assert "no list that was given out is filed" in told["said"]
    assert not FILES & set(manifest.files)
    checks = checks_of(log, manifest)
    assert checks[PARITY] == checks[ACCEPTED] == checks[FRIENDSHIPS] == "skipped"


def test_a_night_with_enough_outcomes_serves_what_it_learned(log: Log, learned: Manifest) -> None:
    told = learned.ranker["outcomes"]
    assert told["learned"] is True
    assert "invitations" in told["said"]
    assert told["accepted_ratio"]["value"] > 1
    assert set(learned.files) >= FILES
    assert told["parity"]["pairs"] > 1000
    assert told["parity"]["agreeing"] == told["parity"]["pairs"]
    checks = checks_of(log, learned)
    assert checks[PARITY] == "passed"
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


def test_nothing_is_learned_from_lists_of_other_features_than_the_nights(log: Log, learned: Manifest) -> None:
    """Before further nights: of the versions on this disk the log's is the first that goes."""
    harness = log.harness
    ranker = ModelBundle.open(harness.versions.path(learned.version)).ranker
    (file,) = ExposureFiles(harness.home).all()
    before = file.path.read_bytes()
    try:
        rows = pl.read_parquet(file.path)
        codes = [bytes([code[0] ^ 1]) + code[1:] if at % 20 < 2 else code for at, code in enumerate(rows["codes"])]
        rows.with_columns(codes=pl.Series(codes)).write_parquet(file.path)
        found = learn_outcomes(harness.home, harness.store, KEYS, Windows(), FORBIDDEN_DAYS, ranker, ENOUGH)
    finally:
        file.path.write_bytes(before)
    assert found.heads is None
    assert not found.report.learned
    assert found.report.parity is not None
    assert found.report.parity.share == pytest.approx(0.9, abs=0.02)
    assert "people shown in 300 logged lists" in found.report.said


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


def test_a_night_that_fits_a_part_of_the_rows_knows_of_all(log: Log, learned: Manifest) -> None:
    harness = log.harness
    ranker = ModelBundle.open(harness.versions.path(learned.version)).ranker
    config = ENOUGH.model_copy(update={"most_rows": 1000})
    found = learn_outcomes(harness.home, harness.store, KEYS, Windows(), FORBIDDEN_DAYS, ranker, config)
    rows, told = ExposureFiles(harness.home).scan(), learned.ranker["outcomes"]
    assert len(rows) > 2000
    assert found.report.shown == len(rows)
    assert (found.report.invited, found.report.accepted) == (told["invited"], told["accepted"])
    assert found.report.accepted_ratio is not None
    assert found.report.accepted_ratio.value > 1


def test_of_a_large_log_a_night_learns_from_a_sample_of_the_viewers_and_says_so(log: Log, learned: Manifest) -> None:
    harness = log.harness
    ranker = ModelBundle.open(harness.versions.path(learned.version)).ranker
    rows = ExposureFiles(harness.home).scan()
    config = ENOUGH.model_copy(update={"most_read": len(rows) // 2})
    found = learn_outcomes(harness.home, harness.store, KEYS, Windows(), FORBIDDEN_DAYS, ranker, config).report
    assert found.viewers_read == pytest.approx(0.5, abs=0.001)
    assert found.viewers / rows["viewer"].n_unique() == pytest.approx(0.5, abs=0.12)
    assert found.shown / found.viewers == pytest.approx(len(rows) / rows["viewer"].n_unique(), rel=0.01)
    assert found.said.endswith("; read of 50.0% of the viewers (outcomes.most_read, --memory)")
    every = learn_outcomes(harness.home, harness.store, KEYS, Windows(), FORBIDDEN_DAYS, ranker, ENOUGH).report
    assert (every.viewers_read, "read of" in every.said) == (1.0, False)


def test_the_erased_are_in_no_table(log: Log, learned: Manifest) -> None:
    harness = log.harness
    ranker = ModelBundle.open(harness.versions.path(learned.version)).ranker
    assert ranker is not None

    def shown() -> int:
        """People that a night learns from."""
        found = learn_outcomes(harness.home, harness.store, KEYS, Windows(), FORBIDDEN_DAYS, ranker, ENOUGH)
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
