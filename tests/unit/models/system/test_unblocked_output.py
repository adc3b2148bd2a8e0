"""Standard error whose reader is slow, absent or gone, or whose disk is full."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from models.system import unblocked_output
from models.system.unblocked_output import MOST_WAITING_BYTES, UnblockedOutput

LINE = b"x" * 999 + b"\n"
MANY = 3 * MOST_WAITING_BYTES // len(LINE)


@contextmanager
def pipe_ends() -> Iterator[tuple[int, int]]:
    """A descriptor to read from and one to write to."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for one in ends:
            os.close(one)


@contextmanager
def socket_ends() -> Iterator[tuple[int, int]]:
    """As pipe_ends, of a socket, which is what journald gives a service."""
    reader, writer = socket.socketpair()
    with reader, writer:
        yield reader.fileno(), writer.fileno()


def read_lines(descriptor: int, wanted: int) -> list[bytes]:
    """So many lines."""
    read = b""
    while read.count(b"\n") < wanted:
        read += os.read(descriptor, 1 << 16)
    return read.splitlines()


@pytest.mark.parametrize("ends", [pipe_ends, socket_ends])
@pytest.mark.parametrize("can_be_reopened", [True, False])
def test_an_unread_reader_blocks_nobody_and_reads_whole_lines_later(
    ends: Callable[[], AbstractContextManager[tuple[int, int]]], can_be_reopened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_be_reopened:
        monkeypatch.setattr(unblocked_output, "_sink", lambda descriptor: (None, lambda: None))
    with ends() as (reader, writer):
        output = UnblockedOutput(writer)
        writing = threading.Thread(target=lambda: [output.write(LINE) for _ in range(MANY)], daemon=True)
        writing.start()
        writing.join(20)
        assert not writing.is_alive(), "the writer is blocked"
        kept = MANY - output.dropped
        assert MOST_WAITING_BYTES // len(LINE) <= kept < MANY
        assert os.get_blocking(writer), "other processes share this flag"
        lines = read_lines(reader, kept + 1)
        assert lines == [LINE[:-1]] * kept + [b"%d lines were dropped" % output.dropped]
        output.write(b"after\n")
        assert read_lines(reader, 1) == [b"after"]
        output.close()


def test_processes_that_share_a_pipe_do_not_cut_each_others_lines() -> None:
    source = "import sys\nfrom models.system import logs\nlogs.unblock()\n"
    source += "for number in range(120): sys.stderr.write((sys.argv[1] * 299 + '\\n') * (1 + number % 40))"
    with pipe_ends() as (reader, writer):
        processes = [subprocess.Popen([sys.executable, "-c", source, name], stderr=writer) for name in "abc"]
        lines = read_lines(reader, 3 * 3 * sum(range(1, 41)))
        assert {process.wait(20) for process in processes} == {0}
    assert {line: lines.count(line) for line in set(lines)} == {name * 299: 2460 for name in (b"a", b"b", b"c")}


def test_a_reader_that_has_gone_and_a_full_disk_are_counted() -> None:
    with pipe_ends() as (reader, writer):
        output = UnblockedOutput(writer)
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), reader)  # nobody reads the pipe
        assert output.write(b"a\nb\n") == 4
        assert output.dropped == 2
        output.close()
    with Path("/dev/full").open("wb", buffering=0) as full:
        output = UnblockedOutput(full.fileno())
        output.write(b"a\n")
        assert output.dropped == 1
        output.close()


def test_the_end_of_a_process_waits_for_a_slow_reader_and_for_no_absent_one() -> None:
    source = "import sys\nfrom models.system import logs\nlogs.unblock()\n"
    source += "for number in range(3000): print(f'{number:0200}', file=sys.stderr)"
    ended = subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE)
    assert ended.stderr is not None
    with ended.stderr:
        lines = ended.stderr.read().splitlines()
    assert ended.wait(20) == 0
    assert [int(line) for line in lines] == list(range(3000))
    unread = subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE)
    assert unread.stderr is not None
    with unread.stderr:
        assert unread.wait(20) == 0
