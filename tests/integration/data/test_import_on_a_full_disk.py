"""An import to a disk that is too small, which is a small file system of its own."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.cli.app import run


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 1 MB; the test is skipped where none may be mounted."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_what_is_full_is_named_and_nothing_is_left(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "edges.txt"
    draw = random.Random(1)
    source.write_text("".join(f"{draw.getrandbits(60)} {draw.getrandbits(60)}\n" for _ in range(100_000)))
    assert run(["import", "edges", str(source), "--out", str(disk / "DATA")]) == 1
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal == f"pymk: {disk}: No space left on device (make room and run it again)"
    assert not list(disk.iterdir())
