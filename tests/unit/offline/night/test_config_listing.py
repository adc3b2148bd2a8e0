"""`pymk config` prints every setting of a night with its meaning, as a file that can be used as it is."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from models.cli.app import run
from offline.night.config import NightConfig
from offline.night.config_listing import as_toml, settings


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["config"]) == 0
    return capsys.readouterr().out


pytestmark = pytest.mark.usefixtures("restored_logging")


def test_the_file_changes_nothing_as_it_is(listed: str) -> None:
    assert NightConfig.model_validate(tomllib.loads(listed)) == NightConfig()


def test_every_setting_has_a_line_and_a_meaning(listed: str) -> None:
    named = [one.path for one in settings()]
    assert len(named) == len(set(named)) > 60
    assert {"sage.hidden", "encoder.encoder", "encoder.training.loss", "suspicion.detector", "text_model"} <= set(named)
    assert not [one.path for one in settings() if not one.meaning]
    lines = [line for line in listed.splitlines() if re.match(r"#?\w+ = ", line)]
    assert len(lines) == len(named)


def test_a_setting_without_its_number_sign_is_in_effect(listed: str, tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(re.sub(r"^#(?=[\w\[])", "", listed, flags=re.MULTILINE), encoding="utf-8")
    config = NightConfig.read(path)
    assert config.suspicion is not None
    assert config.encoder is not None
    assert (config.encoder.encoder.name, config.text_model) == ("gat", "all-MiniLM-L6-v2")


def test_a_file_is_checked_and_what_is_in_effect_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "night.toml"
    path.write_text('encoder = {encoder = {name = "gat", heads = 2}}\n[sage]\nhidden = 64\n', encoding="utf-8")
    assert run(["config", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "\nhidden = 64  # default: 128\n" in printed
    assert "\n[encoder.training]\n" in printed
    assert NightConfig.model_validate(tomllib.loads(printed)) == NightConfig.read(path)
    path.write_text("[sage]\nhiden = 64\n", encoding="utf-8")
    assert run(["config", str(path)]) == 2
    assert "line 2: sage.hiden is no setting; did you mean sage.hidden?" in capsys.readouterr().err


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--json"]) == 0
    rows = {f"{one['table']}.{one['name']}": one for one in json.loads(capsys.readouterr().out)}
    assert rows["candidates.kept"] | {"meaning": ""} == {
        "table": "candidates",
        "name": "kept",
        "default": 1000,
        "value": 1000,
        "limits": "at least 1 and at most 65535",
        "meaning": "",
        "is_on": True,
    }


def test_limits_are_in_the_comment() -> None:
    assert "# width between the layers (at least 1)\nhidden = 128\n" in as_toml()
    assert '# where to train; auto takes a GPU if there is one (one of "auto", "cpu", "cuda", "mps")\n' in as_toml()
