"""Account exports of Mastodon: lists of follows as CSV, and archives in ActivityPub.

An export tells whom one account follows and who follows it. A folder with the exports of several accounts, one folder
or archive an account, makes a graph.
"""

import datetime as dt
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, NAME_COLUMN, Kind
from models.schema.event_kinds import EventKind
from models.system.strict_json import JsonFaultError, loads_exactly
from offline.dataset.pairs import AT, KIND
from offline.dataset.table import OTHER_ID, USER_ID, first_line, shown
from offline.dataset.text.blocks import BYTE_ORDER_MARK
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

FOLLOWING = ("following_accounts", "following")
FOLLOWERS = ("followers", "follower_accounts")
_EVENTS = {
    "blocked_accounts": EventKind.BLOCK,
    "blocks": EventKind.BLOCK,
    "muted_accounts": EventKind.DISMISS,
    "mutes": EventKind.DISMISS,
}
_ACTOR = "actor.json"
_KNOWN = {*(f"{name}.csv" for name in (*FOLLOWING, *FOLLOWERS, *_EVENTS)), _ACTOR, "following.json", "followers.json"}
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
_ADDRESS = re.compile(r"@?([^@\s/,]+)@([^@\s/,]+\.?[^@\s/,]*)")
_ACTOR_PATH = re.compile(r"^/(?:users/|@|u/)([^/@]+)/?$")
_ABOUT = "about"
_LARGEST = 1 << 28
"""bytes of a file in an archive"""


@dataclass(frozen=True)
class _File:
    """A file of an export."""

    place: str
    content: bytes
    changed: int
    """seconds since 1970"""

    def text(self) -> str:
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.content[: error.start].count(b"\n") + 1
            raise DatasetError(f"{self.place}, line {line}: not UTF-8") from error

    def json(self) -> dict[str, Any]:
        try:
            value = loads_exactly(self.content.removeprefix(BYTE_ORDER_MARK))
        except JsonFaultError as fault:
            if fault.key is None:
                raise DatasetError(f"{self.place}: not JSON: {fault}") from fault
            raise DatasetError(f"{self.place}, key {fault.key!r}: {shown(fault.value)} {fault.fault}") from fault
        if not isinstance(value, dict):
            raise DatasetError(f"{self.place}: no object of ActivityPub: {shown(value)}")
        return value


def read_mastodon(source: Path, account: str | None, sink: Sink) -> None:
    """Adds the exports of one account or of several to a sink.

    `account` is the address of the only account, where its export does not tell. Raises DatasetError for an unreadable
    export, or one of nobody knows whom.
    """
    exports = list(_exports(source))
    if not exports:
        expected = "following_accounts.csv, followers.csv or an archive"
        raise DatasetError(f"{source} holds no export of Mastodon: neither it nor a folder in it has {expected}")
    if account is not None and len(exports) > 1:
        raise DatasetError(f"--account names one account, and {source} holds the exports of {len(exports)}")
    origin = Origin(str(source), "account")
    for number, (path, contents) in enumerate(exports, start=1):
        sink.progress("reading accounts", number, len(exports))
        actor = contents[_ACTOR].json() if _ACTOR in contents else None
        address = _owner(path, actor, account)
        sink.profiles.add(_profile(address, actor, number), origin)
        sink.report.count("accounts", 1)
        _add_follows(address, contents, sink)
        _add_events(address, contents, sink)
    sink.kinds[_ABOUT] = Kind.TEXT


def _exports(source: Path) -> Iterator[tuple[Path, dict[str, _File]]]:
    """The path and the known files of each account."""
    if source.is_file() and source.suffix == ".csv":
        yield source.parent, _in_folder(source.parent)
        return
    own = _contents(source)
    if own:
        yield source, own
        return
    if source.is_dir():
        for entry in sorted(source.iterdir()):
            if contents := _contents(entry):
                yield entry, contents


def _contents(path: Path) -> dict[str, _File]:
    if path.is_dir():
        return _in_folder(path)
    try:
        if path.suffix == ".zip":
            return _in_zip(path)
        if path.name.endswith(_ARCHIVES):
            return _in_tar(path)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DatasetError(f"{path} cannot be read as an archive: {first_line(error)}") from error
    return {}


def _in_folder(path: Path) -> dict[str, _File]:
    """The known files of a folder, and those in archives beside them."""
    files: dict[str, _File] = {}
    archives = [entry for entry in sorted(path.iterdir()) if entry.is_file() and entry.name.endswith(_ARCHIVES)]
    direct = [entry for entry in path.iterdir() if entry.name in _KNOWN and entry.is_file()]
    if direct or _ADDRESS.fullmatch(path.name):
        for archive in archives:
            files |= _contents(archive)
    for entry in direct:
        files[entry.name] = _File(str(entry), entry.read_bytes(), int(entry.stat().st_mtime))
    return files


def _in_zip(path: Path) -> dict[str, _File]:
    files = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name in _KNOWN and member.file_size <= _LARGEST:
                changed = dt.datetime(*member.date_time, tzinfo=dt.UTC)
                files[name] = _File(f"{path}/{member.filename}", archive.read(member), int(changed.timestamp()))
    return files


def _in_tar(path: Path) -> dict[str, _File]:
    files = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            content = archive.extractfile(member) if member.isfile() else None
            if name in _KNOWN and content is not None and member.size <= _LARGEST:
                files[name] = _File(f"{path}/{member.name}", content.read(), int(member.mtime))
    return files


def _owner(path: Path, actor: dict[str, Any] | None, account: str | None) -> str:
    """The address of the account that an export is of."""
    if account is not None:
        if not _ADDRESS.fullmatch(account):
            raise DatasetError(f"--account {account!r} is no address such as alice@example.social")
        return _normal(account)
    if actor is not None:
        username, host = actor.get("preferredUsername"), urlsplit(str(actor.get("id", ""))).hostname
        if username and host:
            return _normal(f"{username}@{host}")
    name = path.name
    for ending in _ARCHIVES:
        name = name.removesuffix(ending)
    if _ADDRESS.fullmatch(name):
        return _normal(name)
    raise DatasetError(
        f"{path}: whose export is it? It has no actor.json, and {path.name!r} is no address. Name the folder by the "
        "address, such as alice@example.social, or say --account ADDRESS"
    )


def _normal(address: str) -> str:
    return address.removeprefix("@").lower()


def _profile(address: str, actor: dict[str, Any] | None, number: int) -> pl.DataFrame:
    actor = actor or {}
    discoverable = actor.get("discoverable")
    row = {
        USER_ID: address,
        NAME_COLUMN: actor.get("name") or actor.get("preferredUsername"),
        _ABOUT: _text(str(actor.get("summary") or "")) or None,
        CREATED_AT_COLUMN: actor.get("published"),
        "discoverable": discoverable if isinstance(discoverable, bool) else None,
        PLACE: number,
    }
    texts = dict.fromkeys((USER_ID, NAME_COLUMN, _ABOUT, CREATED_AT_COLUMN), pl.String)
    return pl.DataFrame([row], schema={**texts, "discoverable": pl.Boolean, PLACE: pl.UInt32})


def _add_follows(owner: str, contents: dict[str, _File], sink: Sink) -> None:
    for names, outwards in ((FOLLOWING, True), (FOLLOWERS, False)):
        for name in names:
            for file, rows in _lists(name, contents, owner):
                if not rows:
                    continue
                block = pl.DataFrame(
                    {
                        USER_ID: [owner if outwards else other for _, other in rows],
                        OTHER_ID: [other if outwards else owner for _, other in rows],
                        PLACE: [place for place, _ in rows],
                    },
                    schema={USER_ID: pl.String, OTHER_ID: pl.String, PLACE: pl.UInt32},
                )
                sink.report.count("follows", block.height)
                sink.friendships.add(block, Origin(file.place, "line" if file.place.endswith(".csv") else "item"))


def _add_events(owner: str, contents: dict[str, _File], sink: Sink) -> None:
    for name, kind in _EVENTS.items():
        for file, rows in _lists(name, contents, owner):
            if not rows:
                continue
            block = pl.DataFrame(
                {
                    USER_ID: [owner] * len(rows),
                    OTHER_ID: [other for _, other in rows],
                    KIND: [kind.word] * len(rows),
                    AT: [file.changed] * len(rows),
                    PLACE: [place for place, _ in rows],
                },
                schema_overrides={PLACE: pl.UInt32},
            )
            sink.report.count(f"{kind.word}s" if kind is EventKind.BLOCK else "mutes", block.height)
            sink.report.choose("blocks and mutes, which are dismissals here, at the date of their file")
            sink.add_interactions(block, Origin(file.place))


def _lists(name: str, contents: dict[str, _File], owner: str) -> Iterator[tuple[_File, list[tuple[int, str]]]]:
    """The accounts of a list of this name, with their lines or numbers."""
    if f"{name}.csv" in contents:
        file = contents[f"{name}.csv"]
        yield file, list(_addresses(file, owner))
    if f"{name}.json" in contents:
        file = contents[f"{name}.json"]
        yield file, list(_actors(file))


def _addresses(file: _File, owner: str) -> Iterator[tuple[int, str]]:
    """The first column of a list, below its header if it has one; addresses without a domain are of the owner's."""
    for line, text in enumerate(file.text().split("\n"), start=1):
        cell = text.split(",")[0].strip().strip('"')
        if not cell or (line == 1 and "@" not in cell and " " in cell):
            continue
        address = cell if "@" in cell.removeprefix("@") else f"{cell}@{owner.partition('@')[2]}"
        if not _ADDRESS.fullmatch(address):
            raise DatasetError(f"{file.place}, line {line}, column 'Account address': {shown(cell)} is no address")
        yield line, _normal(address)


def _actors(file: _File) -> Iterator[tuple[int, str]]:
    """The accounts of a collection of ActivityPub."""
    document = file.json()
    items = document.get("orderedItems", document.get("items"))
    if not isinstance(items, list):
        raise DatasetError(f"{file.place}: no collection of ActivityPub: it has no list orderedItems")
    for number, item in enumerate(items, start=1):
        url = item.get("id") if isinstance(item, dict) else item
        parts = urlsplit(str(url))
        match = _ACTOR_PATH.match(parts.path)
        if not match or not parts.hostname:
            raise DatasetError(f"{file.place}, item {number}: {shown(url)} is no address of an account")
        yield number, _normal(f"{match[1]}@{parts.hostname}")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(" ")


def _text(html: str) -> str:
    """The text of a piece of HTML."""
    parser = _Text()
    parser.feed(html)
    return " ".join("".join(parser.parts).split())
