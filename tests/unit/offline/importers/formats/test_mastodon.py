"""Exports of Mastodon: lists of follows, and archives with actor.json."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.offline.imports import Imported, pairs, run_import

FOLLOWING = "Account address,Show boosts,Notify on new posts,Languages\n"
FOLLOWERS = "Account address\n"
ACTOR = {
    "@context": ["https://www.w3.org/ns/activitystreams"],
    "id": "https://Example.social/users/Alice",
    "type": "Person",
    "preferredUsername": "Alice",
    "name": "Alice L",
    "summary": "<p>Maps &amp; bikes</p><p>Berlin</p>",
    "published": "2023-01-05T00:00:00Z",
    "discoverable": False,
}


def rows(head: str, *addresses: str) -> str:
    return head + "".join(f"{address},true,false,\n" if "," in head else f"{address}\n" for address in addresses)


class Importer:
    """Imports exports of one test."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.source = tmp_path / "exports"
        self._out, self._capsys = tmp_path / "DATA", capsys

    def __call__(self, files: Mapping[str, str | bytes], *flags: str, below: str = "") -> Imported:
        for name, content in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_import(self._capsys, self._out, "mastodon", self.source / below, *flags)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)


EXPORTS = {
    "alice@example.social/following_accounts.csv": rows(FOLLOWING, "bob@other.example", "Cy@example.social"),
    "alice@example.social/followers.csv": rows(FOLLOWERS, "bob@other.example", "eve@x.example"),
    "bob@other.example/following_accounts.csv": rows(FOLLOWING, "alice@example.social", "cy@example.social"),
    "cy@example.social/following_accounts.csv": rows(FOLLOWING, "bob@other.example"),
}


def test_people_who_follow_each_other_are_friends(imported: Importer) -> None:
    made = imported(EXPORTS)
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("alice@example.social-bob@other.example", "bob@other.example-cy@example.social")
    assert made.users["user_id"].to_list() == ["alice@example.social", "bob@other.example", "cy@example.social"]
    assert "edges without one in the other direction: 2" in made.printed


def test_either_way_takes_every_follow(imported: Importer) -> None:
    made = imported(EXPORTS, "--follows", "either")
    assert len(made.pairs) == 4
    assert frozenset(("eve@x.example", "alice@example.social")) in made.pairs


def test_one_export_of_a_named_account(imported: Importer) -> None:
    files = {
        "following_accounts.csv": rows(FOLLOWING, "bob@other.example", "cy"),
        "followers.csv": rows(FOLLOWERS, "cy@example.social"),
    }
    made = imported(files)
    assert made.status == 2
    assert "whose export is it? It has no actor.json" in made.refusal
    made = imported(files, "--account", "@Alice@example.social")
    assert made.pairs == pairs("alice@example.social-cy@example.social")


def test_an_archive_tells_whose_it_is_and_the_profile(imported: Importer) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("actor.json", json.dumps(ACTOR))
        archive.writestr("outbox.json", "{}")
    made = imported(
        {
            "1/archive.zip": packed.getvalue(),
            "1/following_accounts.csv": rows(FOLLOWING, "bob@other.example"),
            "1/followers.csv": rows(FOLLOWERS, "bob@other.example"),
        }
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("alice@example.social-bob@other.example")
    assert made.profile("alice@example.social") == {
        "name": "Alice L",
        "about": "Maps & bikes Berlin",
        "created_at": 1672876800,
        "discoverable": False,
    }


def test_archives_in_tar_with_collections_of_activitypub(imported: Importer) -> None:
    packed = io.BytesIO()
    followed = {"type": "OrderedCollection", "orderedItems": ["https://other.example/users/bob"]}
    followers = {"type": "OrderedCollection", "orderedItems": [{"id": "https://other.example/@bob"}]}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, value in (("actor.json", ACTOR), ("following.json", followed), ("followers.json", followers)):
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    made = imported({"archive-1.tar.gz": packed.getvalue()})
    assert made.pairs == pairs("alice@example.social-bob@other.example")


def test_blocks_and_mutes_become_interactions(imported: Importer) -> None:
    files = {
        **EXPORTS,
        "alice@example.social/blocked_accounts.csv": "mallory@x.example\n",  # Mastodon writes no header here
        "alice@example.social/muted_accounts.csv": "Account address,Hide notifications\nnora@x.example,true\n",
    }
    blocked = imported.source / "alice@example.social" / "blocked_accounts.csv"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    made = imported(files)
    assert made.status == 0, made.refusal
    assert {row[:3] for row in made.interactions} == {
        ("alice@example.social", "mallory@x.example", "block"),
        ("alice@example.social", "nora@x.example", "dismiss"),
    }
    assert made.interactions[0][3] == int(blocked.stat().st_mtime)


REFUSED: dict[str, tuple[dict[str, str | bytes], str]] = {
    "no export": ({"notes.txt": "x"}, "holds no export of Mastodon"),
    "no address": (
        {"a@b.example/following_accounts.csv": FOLLOWING + "not an address,true\n"},
        "following_accounts.csv, line 2, column 'Account address': 'not an address' is no address",
    ),
    "no zip": ({"a@b.example.zip": b"PK nothing"}, "a@b.example.zip cannot be read as an archive"),
    "no JSON": ({"a/actor.json": "{"}, "a/actor.json: not JSON"),
    "bytes that are not UTF-8": (
        {"a@b.example/followers.csv": b"Account address\nb@\xff.example\n"},
        "followers.csv, line 2: not UTF-8",
    ),
    "no collection": (
        {"a@b.example/following.json": '{"orderedItems": "https://b.example/following"}'},
        "no collection of ActivityPub",
    ),
}


@pytest.mark.parametrize(("files", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_export_is_refused(imported: Importer, files: dict[str, str | bytes], fault: str) -> None:
    made = imported(files)
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ('"discoverable":true,"discoverable":false', "key 'discoverable': [True, False] are the values of a key that"),
        (r'"name":"Ann \ud83d"', r"key 'name': 'Ann \ud83d' contains half of a surrogate pair"),
        ('"name":', "not JSON: Expecting value"),
    ],
)
def test_a_profile_that_readers_would_not_agree_about_is_refused(imported: Importer, cell: str, fault: str) -> None:
    files = {"ann@a.org/followers.csv": "bob@b.org\n", "ann@a.org/actor.json": "{" + cell + "}"}
    made = imported(files)
    assert made.status == 2
    assert "actor.json" in made.refusal
    assert fault in made.refusal
