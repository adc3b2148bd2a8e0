"""Files of experiments: what they say, and how what is wrong with one is named."""

import re
from pathlib import Path

import pytest

from models.errors import UsageError
from models.experiments.experiment import OVERRIDABLE, Experiment
from models.setting_texts import ContextLimit
from models.settings import Settings
from models.system.toml_file import read_model
from offline.cli.experiment import start

ARMS = '[[arms]]\nname = "a"\nshare = 0.5\n[[arms]]\nname = "b"\nshare = 0.5\n'
WHOLE = f'name = "x"\n{ARMS}[arms.settings]\nfatigue_factor = 0.95\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.toml"


def read(file: Path, text: str) -> Experiment:
    file.write_text(text, encoding="utf-8")
    return read_model(file, Experiment)


def test_a_file_with_everything(file: Path) -> None:
    found = read(
        file,
        f'name = "x"\nsalt = "november"\n{ARMS}[arms.settings]\nfatigue_factor = 0.95\nsuspicious = "drop"\n'
        'context_limits = "email:5:0.1"\n[candidates]\nholdout = 0.1\n',
    )
    assert found.control.name == "a"
    assert found.control.overrides == {}
    limits = {"email": ContextLimit(5, 0.1)}
    assert found.arms[1].overrides == {"context_limits": limits, "fatigue_factor": 0.95, "suspicious": "drop"}
    assert found.changes == {"context_limits", "fatigue_factor", "suspicious"}
    assert (found.salt, found.candidates.holdout) == ("november", 0.1)


@pytest.mark.parametrize("text", ['"accepted:2, dismissed:0.5"', "{accepted = 2, dismissed = 0.5}"])
def test_an_arm_may_have_a_blend_of_its_own(file: Path, text: str) -> None:
    found = read(file, f'name = "x"\n{ARMS}[arms.settings]\noutcome_blend = {text}\n')
    assert found.arms[1].blend == {"accepted": 2.0, "dismissed": 0.5}
    assert found.control.blend == {}
    assert Experiment.model_validate_json(found.model_dump_json(exclude_unset=True)) == found


def test_an_arm_may_favour_people_who_are_hardly_ever_shown(file: Path) -> None:
    found = read(file, WHOLE + "exploration_boost = 3.0\n")
    assert found.arms[1].overrides["exploration_boost"] == 3
    assert found.boosts
    assert not read(file, WHOLE).boosts


@pytest.mark.parametrize("name", [*OVERRIDABLE, "version"])
def test_the_document_and_the_help_name_every_setting_of_an_arm(name: str) -> None:
    document = Path(__file__).parents[4] / "offline/AB_TESTS.md"
    listed = re.search(r"\*\*What an arm may change\*\*.*?\n- \*\*", document.read_text(), re.DOTALL)
    assert listed is not None
    assert f"`{name}`" in listed[0]
    assert re.search(rf"\b{name}\b", str(start.__doc__))


def test_the_salt_is_the_name_and_nobody_is_held_out(file: Path) -> None:
    found = read(file, WHOLE)
    assert (found.salt, found.candidates.holdout) == ("x", 0)


@pytest.mark.parametrize("name", OVERRIDABLE)
def test_every_setting_of_an_arm_is_one_of_the_installation(name: str) -> None:
    assert name in Settings.model_fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE + "fatigue_limt = 3\n", "line 10: arms.1.settings.fatigue_limt is no setting; did you mean"),
        (WHOLE + "exposure_limit = 3\n", "exposure_limit is no setting"),
        (WHOLE.replace("0.95", "1.5"), "line 9: arms.1.settings.fatigue_factor = 1.5: "),
        (WHOLE + "exploration_seldom = 3\n", "exploration_seldom is of the whole installation: the worker counts"),
        (WHOLE + "exploration_boost = 0.5\n", "arms.1.settings.exploration_boost = 0.5: "),
        (WHOLE + "[candidates]\nholdut = 0.1\n", "candidates.holdut is no setting; did you mean candidates.holdout?"),
        (WHOLE + "[candidates]\nholdout = 1\n", "candidates.holdout = 1: "),
        (WHOLE + 'outcome_blend = "clicked:1"\n', "clicked is not among friendship, invited, accepted, dismissed"),
        (WHOLE + 'outcome_blend = "invited:11"\n', "invited:11 is no power from 0 to 10"),
        (WHOLE + 'outcome_blend = "invited"\n', "'invited' is not of the form NAME:POWER"),
        (WHOLE + "outcome_blend = {friendship = 0, invited = 0, accepted = 0, dismissed = 0}\n", "a power above 0"),
        (WHOLE + 'outcome_blend = "invited:2"\n[candidates]\nholdout = 0.1\n', "arms of one outcome_blend"),
        (WHOLE.replace("share = 0.5", "share = 0.6"), "add up to 1.2"),
        (WHOLE.replace('"b"', '"a"'), "two arms have the name a"),
        (WHOLE.replace('"b"', '"b c"'), 'arms.1.name = "b c"'),
        (f'name = "x"\n{ARMS}', "the arms do not differ"),
        (f'{ARMS}[arms.settings]\nversion = "v"\n', "name is missing"),
        (f'name = "x"\n{ARMS}[arms.settings]\nversion = "v"\n[candidates]\nholdout = 0.1\n', "arms of one version"),
        ('name = "x"\n[[arms]]\nname = "a"\nshare = 1\n', "at least 2"),
        ('name = "x"\narms = 3\n', "arms = 3"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(file, text)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)
