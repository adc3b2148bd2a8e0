"""Settings and variables of unknown names stop a command, and the nearest name is said."""

from pathlib import Path

import pytest

from models.cli.app import run
from models.errors import UsageError
from models.settings import Settings
from models.system.known_names import unknown_name, unread_variables


def test_the_nearest_name_is_said_or_all() -> None:
    assert unknown_name("lmit", "parameter", ["limit", "page"]) == "is no parameter; did you mean limit?"
    assert unknown_name("zzz", "parameter", ["b", "a"]) == "is no parameter; there are a, b"
    assert unknown_name("zzz", "parameter", []) == "is no parameter; there is none"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PYMK_RANKED_TTL", "PYMK_RANKED_TTL is no setting; did you mean PYMK_RANKED_TTL_S?"),
        ("PYMK_KEY", "PYMK_KEY is no setting; did you mean PYMK_KEYS?"),
        ("pymk_keyz", "pymk_keyz is no setting; did you mean PYMK_KEYS?"),
    ],
)
def test_an_unknown_variable_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, variable: str, said: str
) -> None:
    monkeypatch.setenv("PYMK_HOME", str(tmp_path))
    monkeypatch.setenv(variable, "s3cret")
    assert run(["versions"]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "s3cret" not in shown


def test_an_unknown_name_in_the_file_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "pymk.toml"
    file.write_text(f'home = "{tmp_path}"\nmax_body_byte = 5\n')
    monkeypatch.setenv("PYMK_CONFIG", str(file))
    assert run(["versions"]) == 2
    assert "max_body_byte is no setting; did you mean max_body_bytes?" in capsys.readouterr().err


def test_a_byte_order_mark_before_the_settings_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "pymk.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b"max_body_bytes = 4321\n")
    monkeypatch.setenv("PYMK_CONFIG", str(file))
    assert Settings().max_body_bytes == 4321


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYMK_CONFIG", ""),
        ("PYMK_LOADTEST_KEY", "k"),
        ("PYMK_PORT", "tcp://10.0.0.1:8000"),
        ("PYMK_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("PYMK_SERVICE_HOST", "10.0.0.1"),
        ("PYMK_STORE_SERVICE_PORT_REDIS", "6379"),
        ("_PYMK_METRICS_DIRECTORY", "/tmp/x"),  # noqa: S108  # read by nobody here
    ],
)
def test_what_others_set_is_passed_over(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    Settings()
    assert not list(unread_variables({variable: value}, "PYMK_", {"PYMK_CONFIG", "PYMK_LOADTEST_KEY"}))


def test_a_port_that_somebody_chose_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYMK_PORT", "9000")
    with pytest.raises(UsageError, match="PYMK_PORT is no setting"):
        Settings()


def test_every_origin_needs_keys() -> None:
    with pytest.raises(ValueError, match="needs PYMK_KEYS"):
        Settings(cors_origins="*")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not of the form"):
        Settings(cors_origins="app.example.org")  # type: ignore[arg-type]
