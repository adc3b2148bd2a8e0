"""What a run says of bad input: the message about a directory of files, and that nothing was written."""

import datetime as dt
from pathlib import Path

import pytest

from models.errors import DatasetError
from offline.snapshot.snapshot import write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
USERS = b"user_id,age,company\na,31,Acme\nb,,\n"
CONNECTIONS = b"user_id,other_id\na,b\n"
INTERACTIONS = b"user_id,other_id,kind,at\n"

KINDS_OF_EVENT = (
    "impression, click, view, invite, withdraw, accept, decline, connect, disconnect, dismiss, undismiss, block,"
    " unblock, report"
)
BARE = (
    'has a quotation mark and is not quoted: quote the cell and double the mark, or write quote = "" under [csv] in'
    " schema.toml if no cell of the file is quoted"
)
GOES_ON = (
    "goes on after its closing quotation mark: inside quotes a mark is doubled, or schema.toml names the character that"
    r' escapes it: escape = "\\" under [csv]'
)
LONE_RETURN = "is followed by a carriage return that ends no line: lines end in LF or CR LF"
NO_FLAG = "is neither true nor false (true, false, t, f, 1, 0, yes, no, y, n)"
HALF = "contains half of a surrogate pair, which is no character"
NESTED = 'is an object or holds nested values, which no kind can parse; declare it "ignore"'
TWICE = "are the values of a key that stands twice"
MOMENT = "is not a timestamp (ISO 8601 or epoch seconds)"


def refusal(directory: Path, **contents: bytes) -> str:
    """The message about a directory of these files, less its path; `users__csv` is the file users.csv."""
    given = {"users__csv": USERS, "connections__csv": CONNECTIONS} | contents
    for name, content in given.items():
        if content != b"absent":
            (directory / name.replace("__", ".")).write_bytes(content)
    return refused(directory)


def refused(directory: Path) -> str:
    out = directory / "home" / "snapshot"
    with pytest.raises(DatasetError) as raised:
        write_snapshot(directory, out, started_at=STARTED)
    assert not out.parent.exists(), "something was written"
    return str(raised.value).replace(f"{directory}/", "").replace(str(directory), "DATA")
