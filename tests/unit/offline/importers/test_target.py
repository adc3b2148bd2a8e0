"""The directory of an import: whole or not at all, and never in place of something else."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.cli.app import run
from tests.support.offline.imports import pairs, run_import

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "edges.txt"
    path.write_text("a b\nb c\n")
    return path


def test_an_existing_dataset_is_replaced_only_if_that_is_said(tmp_path: Path, source: Path, capsys: Capture) -> None:
    made = run_import(capsys, tmp_path / "DATA", "edges", source)
    assert made.pairs == pairs("a-b", "b-c")
    source.write_text("a b\n")
    again = run_import(capsys, tmp_path / "DATA", "edges", source)
    assert again.status == 2
    assert "exists; --force replaces it, or name another directory" in again.refusal
    assert again.pairs == pairs("a-b", "b-c")
    assert run_import(capsys, tmp_path / "DATA", "edges", source, "--force").pairs == pairs("a-b")


def test_a_failed_import_leaves_what_was_there(tmp_path: Path, source: Path, capsys: Capture) -> None:
    run_import(capsys, tmp_path / "DATA", "edges", source)
    source.write_text("a b\nb\n")
    made = run_import(capsys, tmp_path / "DATA", "edges", source, "--force")
    assert made.status == 2
    assert made.pairs == pairs("a-b", "b-c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DATA", "edges.txt"]


def test_what_is_no_dataset_is_never_replaced(tmp_path: Path, source: Path, capsys: Capture) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "letters.txt").write_text("dear")
    made = run_import(capsys, out, "edges", source, "--force")
    assert made.status == 2
    assert "holds 'letters.txt', which is no part of a dataset" in made.refusal
    assert (out / "letters.txt").read_text() == "dear"


def test_an_empty_directory_is_taken(tmp_path: Path, source: Path, capsys: Capture) -> None:
    (tmp_path / "DATA").mkdir()
    assert run_import(capsys, tmp_path / "DATA", "edges", source).status == 0


@pytest.mark.parametrize("out", [".", "..", "edges.txt"])
def test_directories_that_cannot_be_meant(
    tmp_path: Path, source: Path, out: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run_import(capsys, Path(out), "edges", source)
    assert made.status == 2
    assert source.read_text() == "a b\nb c\n"


def test_a_source_inside_the_target_is_refused(tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "DATA"
    data.mkdir()
    (data / "connections.csv").write_text("user_id,other_id\na,b\n")
    made = run_import(capsys, data, "edges", data / "connections.csv", "--force")
    assert made.status == 2
    assert "holds the source" in made.refusal


def test_a_source_that_does_not_exist_gets_the_nearest_name(tmp_path: Path, source: Path, capsys: Capture) -> None:
    made = run_import(capsys, tmp_path / "DATA", "edges", tmp_path / "edgs.txt")
    assert made.status == 2
    assert f"edgs.txt does not exist; did you mean {source}?" in made.refusal


def test_a_misspelt_format_gets_the_nearest(capsys: Capture) -> None:
    assert run(["import", "graphlm", "x", "--out", "DATA"]) == 2
    assert "Did you mean 'graphml'?" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["edges", "graphml", "gexf", "neo4j", "postgres", "mastodon", "parquet"])
def test_the_help_of_every_format_shows_an_example(language: str, capsys: Capture) -> None:
    assert run(["import", language, "--help"]) == 0
    assert f"pymk import {language} " in capsys.readouterr().out


def test_nothing_heavy_is_imported_before_the_source_was_looked_at() -> None:
    """A wrong path is answered at once: torch, numba, networkx and Polars take seconds."""
    script = (
        "import sys; from models.cli.app import run; "
        "status = run(['import', 'graphml', '/nonexistent', '--out', 'x']); "
        "heavy = {'torch', 'numba', 'networkx', 'polars', 'scipy', 'psycopg'} & set(sys.modules); "
        "sys.exit(f'{status} {heavy}' if heavy or status != 2 else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_killed_import_leaves_no_half_dataset(tmp_path: Path, capsys: Capture) -> None:
    """Its remains are removed by the next import."""
    command = [sys.executable, "-m", "models.cli", "import", "edges", tmp_path / "folder", "--out", tmp_path / "DATA"]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "edges.txt").write_text("a b\n" * 3_000_000)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".DATA.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.glob(".DATA.*.partial"))
    assert not (tmp_path / "DATA").exists()
    (folder / "edges.txt").write_text("a b\n")
    assert run_import(capsys, tmp_path / "DATA", "edges", folder).status == 0
    assert not list(tmp_path.glob(".DATA.*"))
