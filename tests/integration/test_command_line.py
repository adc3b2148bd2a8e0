"""The pymk command as a shell sees it: what it prints where, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.cli.app import run
from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions

PYMK = [sys.executable, "-P", "-m", "models.cli"]


@pytest.fixture
def pymk(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {**kept, "PYMK_HOME": str(tmp_path), **environment}
        return subprocess.run([*PYMK, *arguments], capture_output=True, text=True, env=own, timeout=60, check=False)

    return run


def _lines(text: str) -> list[str]:
    """stderr less the warnings of rooms that are not built yet."""
    return [line for line in text.splitlines() if "warning: the commands of" not in line]


def test_help_names_the_commands_and_loads_nothing_heavy(pymk: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    helped = pymk("--help")
    assert helped.returncode == 0
    for command in ("versions", "activate", "rollback", "demo"):
        assert f"\n  {command} " in helped.stdout
    code = (
        "import sys; from models.cli.app import run; run(['--help']); "
        "print(*sorted({'torch', 'numba', 'polars', 'faiss', 'fastapi', 'redis', 'sklearn'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonesuch"],
        ["activate"],
        ["activate", "latest"],
        ["versions", "--nix"],
        ["demo", "--users", "many"],
        ["--home"],
        [],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("restored_logging")
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert re.search("^(Usage: pymk|Error: )", capsys.readouterr().err, re.MULTILINE)


def test_a_wrong_setting_ends_with_2_and_is_named(pymk: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    failed = pymk("versions", PYMK_REDIS_TIMEOUT_MS="soon")
    assert (failed.returncode, failed.stdout) == (2, "")
    (line,) = _lines(failed.stderr)
    assert line.startswith("pymk: PYMK_REDIS_TIMEOUT_MS: input should be a valid integer")


def test_a_configuration_that_cannot_be_read_ends_with_2(
    pymk: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text("home = ")
    for name in ("broken.toml", "missing.toml"):
        failed = pymk("versions", PYMK_CONFIG=str(tmp_path / name))
        assert failed.returncode == 2
        assert name in _lines(failed.stderr)[0]


def test_a_failure_is_one_line_unless_debugging(pymk: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    failed = pymk("rollback")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert _lines(failed.stderr) == ["pymk: nothing is published yet, so there is no version to roll back to"]
    failed = pymk("rollback", "--debug")
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr


def test_a_room_that_is_missing_is_named_and_the_others_work(tmp_path: Path) -> None:
    """A distribution of its own offers one command that cannot be imported and one that can."""
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[pymk.commands]\naaa = nonesuch_room:register\nzzz = extra_room:register\n"
    )
    (tmp_path / "extra_room.py").write_text("def register(app):\n    app.command('extra')(lambda: print('here'))\n")
    ran = subprocess.run(
        [*PYMK, "extra"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "here\n")
    assert "warning: the commands of 'nonesuch_room:register' are missing: ModuleNotFoundError" in ran.stderr


def test_switching_from_the_command_line(
    pymk: Callable[..., subprocess.CompletedProcess[str]], make_version: Callable[..., str], tmp_path: Path
) -> None:
    empty = pymk("versions")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "nothing is published" in empty.stderr
    first, second = make_version(), make_version()
    store, keys = open_sync(Settings(home=tmp_path)), Keys("pymk")
    try:
        for version in (first, second):
            publish(Versions(tmp_path).path(version), store, Versions(tmp_path), keys=keys)
        listed = json.loads(pymk("versions", "--json").stdout)
        assert [(one["version"], one["active"], one["users"], one["ratio"]) for one in listed] == [
            (second, True, 8, 1.25),
            (first, False, 8, 1.25),
        ]
        head, newest, oldest = (line.split("\t") for line in pymk("versions").stdout.splitlines())
        assert head[:2] == ["", "version"]
        assert newest[:2] == ["*", second]
        assert oldest[:2] == ["<", first]

        back = pymk("rollback")
        assert (back.returncode, back.stdout) == (0, f"{first}\n")
        store.set(keys.process("web-1"), first.encode(), ttl_s=60)
        start = time.monotonic()
        switched = pymk("activate", second)
        assert (switched.returncode, switched.stdout) == (0, f"{second}\n")
        assert time.monotonic() - start >= 5
        assert f"web-1 still serves {first} after 5 seconds" in switched.stderr
        unknown = pymk("activate", "20200101T000000Z-000000")
        assert unknown.returncode == 1
        assert "20200101T000000Z-000000" in _lines(unknown.stderr)[0]
    finally:
        store.close()


def test_ctrl_c_ends_with_130_and_without_a_word(tmp_path: Path) -> None:
    """Waits for a lock that this test holds, so that there is something to interrupt."""
    with Versions(tmp_path).switching():
        running = subprocess.Popen(
            [*PYMK, "--home", str(tmp_path), "rollback"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(2)
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        printed, said = running.communicate(timeout=30)
    assert (running.returncode, printed, _lines(said)) == (130, "", [])


def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path) -> None:
    """`pymk --help | true`: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*PYMK, "--help"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert ran.returncode == 1
    assert _lines(ran.stderr) == []
