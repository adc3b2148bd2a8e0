"""The file of rows, and the table made of results."""

from pathlib import Path

import pytest

from models.errors import UsageError
from offline.compare.comparison import SharedSplitNote
from offline.compare.results import PerUser, RunResult
from offline.compare.table import (
    Comparison,
    drawn,
    markdown,
    table,
)
from offline.compare.variants import (
    DEFAULT_VARIANTS,
    Variant,
    chosen_variants,
    read_variants,
)

FIRST = '[[rows]]\nname = "a"\n'


def written(directory: Path, text: str) -> Path:
    path = directory / "rows.toml"
    path.write_text(text)
    return path


def test_the_rows_that_ship_name_every_family_once_at_least() -> None:
    rows = read_variants(DEFAULT_VARIANTS)
    assert {variant.encoder.name for variant in rows} == {
        "graphsage", "gat", "gcn", "vgae", "dgi", "temporal_gat", "lightgcn",
    }  # fmt: skip
    assert {variant.encoder.aggregation for variant in rows if variant.encoder.name == "graphsage"} == {
        "mean",
        "max",
        "lstm",
    }
    assert {variant.identity.name for variant in rows} == {"none", "lookup", "hash"}
    assert {variant.decoder.name for variant in rows} == {"dot", "mlp"}
    assert {variant.fusion.name for variant in rows if variant.fusion} == {
        "two_tower", "weighted_average", "mlp", "moe", "linucb", "dqn",
    }  # fmt: skip


def test_rows_with_the_same_encoder_share_it() -> None:
    rows = {variant.name: variant for variant in read_variants(DEFAULT_VARIANTS)}
    assert rows["graphsage + mlp"].digest == rows["graphsage + dqn"].digest != rows["gat + mlp"].digest
    assert rows["graphsage + mlp"].row_digest != rows["graphsage + dqn"].row_digest
    assert Variant(name="x").row_digest == Variant(name="y").row_digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows = ", "line 1: is no TOML"),
        ("", "rows is missing"),
        (FIRST + FIRST, "two rows are called a"),
        (FIRST + 'encoder = { name = "gpt" }\n', "rows.0.encoder"),
        (FIRST + 'encoder = { name = "gat", hidden = 10, heads = 4 }\n', "cannot be shared out"),
        (FIRST + "fusion = { hidden = 3 }\n", "rows.0.fusion"),
        (FIRST + 'features = ["face"]\n', "rows.0.features.0"),
        (FIRST + "training = { epoch = 3 }\n", "rows.0.training.epoch"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        read_variants(written(tmp_path, text))
    assert str(tmp_path / "rows.toml") in str(refused.value)


def test_a_row_is_chosen_by_its_name() -> None:
    rows = (Variant(name="a"), Variant(name="b"))
    assert chosen_variants(rows, ()) == rows
    assert chosen_variants(rows, ("b",)) == rows[1:]
    with pytest.raises(UsageError, match="no row is called 'c'; there are a, b"):
        chosen_variants(rows, ("c",))


def result(variant: str, seed: int, alone: float, fused: float | None = None) -> RunResult:
    users = 50
    return RunResult(
        row=variant,
        seed=seed,
        digest="d",
        alone=PerUser(recall=[alone] * users, ndcg=[alone / 2] * users),
        fused=None if fused is None else PerUser(recall=[fused] * users, ndcg=[fused / 2] * users),
        training_seconds=1.0 + seed,
        embed_seconds=0.1,
        parameters=10,
        memory_mb=1.0,
        device="cpu",
        notes=["one snapshot"],
    )


def made() -> Comparison:
    fused = [
        Variant.model_validate({"name": name, "fusion": {"name": fusion}})
        for name, fusion in (("plain", "weighted_average"), ("clever", "moe"), ("too clever", "dqn"))
    ]
    note = SharedSplitNote(
        digest="d",
        started_at="2026-01-01T00:00:00Z",  # type: ignore[arg-type]
        dataset="made-up",
        judged=50,
        baselines={"popularity": PerUser(recall=[0.1] * 50, ndcg=[0.05] * 50)},
    )
    results = [result(variant.name, seed, 0.3, value + seed / 100)
               for variant, value in zip(fused, (0.4, 0.6, 0.4), strict=True) for seed in (0, 1)]  # fmt: skip
    alone = Variant(name="alone", training={"epochs": 3})  # type: ignore[arg-type]
    return table(note, [*fused, alone], [*results, result("alone", 0, 0.35)])


def test_seeds_are_averaged_and_the_best_rows_named() -> None:
    found = made()
    assert (found.best_alone, found.best_fused) == ("alone", "clever")
    clever = found.rows[1]
    assert clever.fused is not None
    assert clever.fused.recall.value == pytest.approx(0.605)
    assert clever.spread == pytest.approx(0.005)
    assert clever.times_popularity == pytest.approx(3.0)
    assert clever.training_seconds == pytest.approx(1.5)


def test_a_clever_fusion_that_is_not_better_than_the_simple_one_is_called_unjustified() -> None:
    verdicts = made().verdicts
    assert [verdict.split(":")[0] for verdict in verdicts] == ["clever is justified", "too clever is not justified"]


def test_the_table_reads_back_and_is_drawn(tmp_path: Path) -> None:
    found = made()
    found.write(tmp_path)
    assert Comparison.model_validate_json((tmp_path / "comparison.json").read_bytes()) == found
    text = (tmp_path / "comparison.md").read_text()
    assert text == markdown(found)
    assert "| *popularity* | 0.100 [0.100, 0.100] |" in text
    assert "| **clever** |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_an_encoder_alone_has_one_bar_however_many_rows_fuse_it() -> None:
    assert [(name, kind) for name, _, kind in drawn(made())] == [
        ("popularity", "baseline"),
        ("plain, alone", "encoder alone"),
        ("plain", "fused"),
        ("clever", "fused"),
        ("too clever", "fused"),
        ("alone", "encoder alone"),
    ]


def test_a_result_of_another_digest_or_half_a_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert RunResult.read(path, "d") is None
    result("a", 0, 0.5).write(path)
    assert RunResult.read(path, "d") == result("a", 0, 0.5)
    assert RunResult.read(path, "e") is None
    path.write_bytes(path.read_bytes()[:40])
    assert RunResult.read(path, "d") is None


def test_a_byte_order_mark_before_the_rows_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f'{FIRST}encoder = {{ name = "gat" }}\n'.encode())
    assert [row.name for row in read_variants(path)] == ["a"]
