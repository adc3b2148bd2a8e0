"""The directory of a killed service is removed by the next one, and nothing else is."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service.server.metrics_dir import metrics_directory

SERVICE = """
import sys
from service.server.metrics_dir import metrics_directory

with metrics_directory() as directory:
    print(directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, here and in processes started from here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def service() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    directory = Path(process.stdout.readline().strip())
    assert directory.is_dir()
    return process, directory


def test_it_is_there_as_long_as_it_is_needed(place: Path) -> None:
    with metrics_directory() as directory:
        assert directory.parent == place
        (directory / "1-0a.json").touch()
    assert list(place.iterdir()) == []


def test_only_those_of_killed_services_are_removed(place: Path) -> None:
    (killed, left), (alive, kept) = service(), service()
    killed.kill()
    killed.communicate()
    (left / "1-0a.json").touch()
    foreign, elsewhere = place / "pymk-metrics-of-another-kind", place / "elsewhere"
    foreign.mkdir()
    elsewhere.mkdir()
    (place / "pymk-metrics-link").symlink_to(elsewhere)
    with metrics_directory() as own:
        assert set(place.iterdir()) == {own, kept, foreign, elsewhere, place / "pymk-metrics-link"}
        with metrics_directory():
            assert own.is_dir(), "another service of this process"
    alive.communicate()
    assert alive.returncode == 0
    assert not kept.exists()
