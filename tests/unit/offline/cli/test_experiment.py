"""`pymk experiment` on a real store: start, list, stop, and what is refused."""

from pathlib import Path

import orjson
import pytest

from models.cli.app import run

FILE = """\
name = "less-fatigue"
[[arms]]
name = "control"
share = 0.5
[[arms]]
name = "mild"
share = 0.5
[arms.settings]
fatigue_factor = 0.95
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of an experiment, and a home of its own."""
    monkeypatch.setenv("PYMK_HOME", str(tmp_path / "home"))
    path = tmp_path / "experiment.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_start_list_stop(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "list"]) == 0
    assert "no experiment was started" in capfd.readouterr().err
    assert run(["experiment", "start", str(file)]) == 0
    assert capfd.readouterr().out == "less-fatigue\n"
    assert run(["experiment", "start", str(file)]) == 2
    assert "there is an experiment less-fatigue already" in capfd.readouterr().err
    assert run(["experiment", "list"]) == 0
    head, line = capfd.readouterr().out.splitlines()
    assert head.split("\t")[:2] == ["experiment", "state"]
    assert line.split("\t")[:2] == ["less-fatigue", "running"]
    assert line.split("\t")[4:] == ["control:0.5 mild:0.5", "fatigue_factor", "0"]
    assert run(["experiment", "stop", "less-fatigu"]) == 2
    assert "did you mean less-fatigue?" in capfd.readouterr().err
    assert run(["experiment", "stop", "less-fatigue"]) == 0
    capfd.readouterr()
    assert run(["experiment", "list", "--json"]) == 0
    (listed,) = orjson.loads(capfd.readouterr().out)
    assert listed["experiment"]["arms"][1]["settings"] == {"fatigue_factor": 0.95}
    assert listed["stopped_at"] > listed["started_at"]
    assert run(["audit", "--json"]) == 0
    entries = orjson.loads(capfd.readouterr().out)
    assert [(entry["what"], entry["note"]) for entry in entries] == [
        ("experiment_stopped", "less-fatigue"),
        ("experiment_started", "less-fatigue"),
    ]


def test_a_file_that_is_wrong_starts_nothing(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("fatigue_factor", "fatigue_facto"), encoding="utf-8")
    assert run(["experiment", "start", str(file)]) == 2
    assert "line 9: arms.1.settings.fatigue_facto is no setting; did you mean" in capfd.readouterr().err
    assert run(["experiment", "start", str(file.with_name("none.toml"))]) == 2
    assert "cannot be read" in capfd.readouterr().err


def test_a_version_that_is_not_served_is_refused(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("fatigue_factor = 0.95", 'version = "v"'), encoding="utf-8")
    assert run(["experiment", "start", str(file)]) == 2
    assert "neither the active version nor the one before it; they are none" in capfd.readouterr().err
