"""`pymk outcomes`: options that do not go together are refused."""

from pathlib import Path

import pytest

from models.cli.app import run


@pytest.mark.parametrize("other", [["--out", "out"], ["--parity", "5"]])
def test_an_estimate_writes_no_table_and_compares_no_features(
    other: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYMK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run(["outcomes", "--evaluate", "20261101T000000Z-0a1b2c", *other]) == 2
    assert f"{other[0]} does not go with --evaluate" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
