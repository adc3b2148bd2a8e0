"""Log lines: JSON away from a terminal, and never user ids."""

import asyncio
import io
import json
import logging
import subprocess
import sys

import pytest
import structlog

from models.system import logs
from models.system.buffered_log import BufferedLog

pytestmark = pytest.mark.usefixtures("restored_logging")


def test_lines_are_json_away_from_a_terminal_and_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("published", version="v", users=3)
    structlog.get_logger().debug("too small")
    logging.getLogger("another.library").warning("of another %s", "library")
    logging.getLogger("another.library").info("chatter")
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = map(json.loads, printed.err.splitlines())
    assert (first["event"], first["version"], first["users"], first["level"]) == ("published", "v", 3, "info")
    assert first["at"].endswith("Z")
    assert (second["event"], second["logger"], second["level"]) == ("of another library", "another.library", "warning")


def test_an_exception_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError("x")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: x" in json.loads(line)["exception"]


def test_lines_of_one_iteration_of_a_loop_are_one_write_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", written.append)
    lines = BufferedLog(stream)

    async def busy() -> None:
        for iteration in range(3):
            for number in range(4):
                lines.msg(f"{iteration} {number}")
            assert len(written) == iteration
            await asyncio.sleep(0)
        await asyncio.to_thread(lines.msg, "of a thread")
        lines.msg("last")

    asyncio.run(busy())
    lines.msg("after")
    assert [text.count("\n") for text in written[:4]] == [4, 4, 4, 1]
    assert "".join(written).splitlines()[12:] == ["of a thread", "last", "after"]


def test_a_line_that_waits_when_the_process_ends_is_written() -> None:
    source = "import sys, asyncio\nfrom models.system.buffered_log import BufferedLog\n"
    source += "async def end(): BufferedLog(sys.stderr).info('the end'); sys.exit(3)\nasyncio.run(end())"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (3, "the end\n")


def test_debug_and_the_console_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(debug=True, json=False)
    structlog.get_logger().debug("small", rows=2)
    logging.getLogger("another.library").debug("chatter")
    printed = capsys.readouterr().err
    assert "rows=2" in printed
    assert "chatter" not in printed


def test_a_user_hash_depends_on_user_and_secret() -> None:
    one = logs.user_hash("ann", "s")
    assert one == logs.user_hash("ann", "s")
    assert len({one, logs.user_hash("bea", "s"), logs.user_hash("ann", "t"), logs.user_hash("ann", "s" * 100)}) == 4
    assert len(one) == 16
    assert "ann" not in one
    with pytest.raises(ValueError, match="secret"):
        logs.user_hash("ann", "")
