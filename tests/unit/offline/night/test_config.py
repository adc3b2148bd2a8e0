"""A night's configuration: files of earlier releases still start a night, and mistakes are named."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.errors import UsageError
from offline.night.config import NightConfig


@pytest.mark.parametrize("table", ["sage", "ranker"])
def test_a_limit_by_the_clock_is_ignored_with_a_warning(tmp_path: Path, table: str) -> None:
    path = tmp_path / "night.toml"
    path.write_text(f"[{table}]\nmax_seconds = 600.0\nmax_steps = 7\n", encoding="utf-8")
    with capture_logs() as logs:
        config = NightConfig.read(path)
    assert config == NightConfig.model_validate({table: {"max_steps": 7}})
    assert logs == [
        {
            "event": "setting_ignored",
            "log_level": "warning",
            "setting": f"{table}.max_seconds",
            "instead": "max_steps",
        }
    ]


def test_nothing_else_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    for text, named in (("[sage]\nseconds = 1\n", "sage.seconds"), ("[split]\nmax_seconds = 1\n", "split.max_seconds")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=named):
            NightConfig.read(path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_bytes(b"\xef\xbb\xbf[sage]\nmax_steps = 7\n")
    assert NightConfig.read(path) == NightConfig.model_validate({"sage": {"max_steps": 7}})
