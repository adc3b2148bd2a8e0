"""A fault of a TOML file is said with its line, its key, its value and the nearest name."""

from pathlib import Path

import pytest

from models.errors import UsageError
from models.system.field_docs import field_docs
from models.system.toml_file import TomlFile
from offline.compare.variants import read_variants
from offline.night.config import NightConfig, SplitConfig


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "night.toml"


FAULTS = {
    "a misspelt setting": (
        "[sage]\nhiden = 3\n",
        "line 2: sage.hiden is no setting; did you mean sage.hidden?",
    ),
    "a misspelt table": (
        "\n\n[candidate]\nkept = 3\n",
        "line 3: candidate is no setting; did you mean candidates?",
    ),
    "a setting of another table": (
        "[sage]\nkept = 3\n",
        "line 2: sage.kept is no setting; did you mean candidates.kept?",
    ),
    "in an inline table": (
        'encoder = {encoder = {name = "gat", hiden = 3}}\n',
        "line 1: encoder.encoder.hiden is no setting; did you mean encoder.encoder.hidden?",
    ),
    "a dotted key": (
        "seed.a = 1\nsage.dropot = 0.1\n",
        "line 2: sage.dropot is no setting; did you mean sage.dropout?",
    ),
    "nothing near": (
        "[split]\nzzz = 1\n",
        "line 2: split.zzz is no setting; there are split.judged_share, split.judged_users",
    ),
    "a text for a number": (
        '[sage]\nhidden = "wide"\n',
        'line 2: sage.hidden = "wide": input should be a valid integer',
    ),
    "below a limit": (
        "[sage]\n\nmax_steps = 0\n",
        "line 3: sage.max_steps = 0: input should be greater than or equal to 1",
    ),
    "above a limit": (
        "[split]\njudged_share = 0.9\n",
        "line 2: split.judged_share = 0.9: input should be less than 0.5",
    ),
    "no choice": (
        '[sage]\nloss = "batch"\n',
        "line 2: sage.loss = \"batch\": input should be 'in_batch' or",
    ),
    "neither number nor word": (
        "[sage]\nbatch_pairs = 0\n",
        "line 2: sage.batch_pairs = 0: input should be greater than",
    ),
    "within a list of several lines": (
        "[index]\nef_search = [\n  64, # one\n  0,\n]\n",
        "line 2: index.ef_search.1 = 0: input should be greater than or equal to 1",
    ),
    "an unknown encoder": (
        'encoder = {encoder = {name = "gatt"}}\n',
        "is no name; did you mean gat?",
    ),
    "an encoder without a name": (
        "encoder = {encoder = {heads = 2}}\n",
        "line 1: encoder.encoder has no name",
    ),
    "settings that do not fit together": (
        '[encoder]\nencoder = {name = "gat", hidden = 7}\n',
        "line 2: encoder.encoder: hidden 7 cannot be shared out among 4 heads",
    ),
    "a missing setting": (
        "[encoder]\nseed = 1\n",
        "line 1: encoder.encoder is missing",
    ),
    "no table": (
        "sage = 3\n",
        "line 1: sage = 3 is no table",
    ),
    "no TOML": (
        "[sage\n",
        "line 1, column 6: is no TOML",
    ),
    "a key twice": (
        "[sage]\nhidden = 1\nhidden = 2\n",
        "line 3, column 11: is no TOML: Cannot overwrite a value",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_line_key_and_value(path: Path, fault: str) -> None:
    text, said = FAULTS[fault]
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        NightConfig.read(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{path}, line ")


def test_all_faults_of_a_file_are_said(path: Path) -> None:
    path.write_text("[sage]\nhiden = 3\n[index]\nlinks = 0\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 2: sage\.hiden .*; .*line 4: index\.links = 0"):
        NightConfig.read(path)


def test_an_entry_of_a_list_of_tables_is_found(path: Path) -> None:
    rows = '[[rows]]\nname = "a"\n\n[[rows]]\nname = "b"\nencoder = { name = "gat", heads = 0 }\n'
    path.write_text(rows, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read_variants(path)
    assert str(refused.value) == (
        f"{path}, line 6: rows.1.encoder.heads = 0: input should be greater than or equal to 1"
    )


def test_a_byte_order_mark_and_windows_lines_are_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf# mine\r\n[sage]\r\nhidden = 7\r\n")
    assert NightConfig.read(path).sage.hidden == 7
    assert TomlFile.read(path).line_of(["sage", "hidden"]) == 3
    assert TomlFile.read(path).line_of(["sage", "outputs"]) is None


def test_what_is_not_utf8_names_the_line(path: Path) -> None:
    path.write_bytes(b"# a\n# \xff\n")
    with pytest.raises(UsageError, match="line 2: is not UTF-8"):
        NightConfig.read(path)


def test_docs_of_a_field_are_those_of_its_class_then_of_its_base() -> None:
    class Base:
        kept: int = 1
        """of the base"""
        changed: int = 1
        """of the base,
        in two lines"""

    class Below(Base):
        changed: int = 2
        own: int = 3
        """its own"""

    assert field_docs(Below) == {"kept": "of the base", "changed": "of the base, in two lines", "own": "its own"}
    assert field_docs(SplitConfig)["judged_users"] == "users whose lists the gate evaluates"
    assert field_docs(int) == {}
