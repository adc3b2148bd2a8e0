"""The faults of an answer, and the facts that it is checked against."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import UsageError
from models.version.tables import Tables
from service.loadtest.checks import faults
from service.loadtest.http_requests import Target, parse_event_kinds
from service.loadtest.viewers import (
    DatasetFacts,
    NoFacts,
    VersionFacts,
    viewers,
)


def person(user_id: str, score: float, position: int) -> dict[str, Any]:
    reasons = [{"code": "mutual_connections", "count": 1, "examples": [], "text": "1 mutual connection"}]
    return {"user_id": user_id, "score": score, "position": position, "sources": [], "reasons": reasons}


def answer(**changed: Any) -> dict[str, Any]:
    shown = [person("bea", 0.8, 1), person("cid", 0.8, 2), person("dan", 0.1, 3)]
    whole = {"user_id": "ann", "request_id": "r", "version": "v", "served": "ranked", "recommendations": shown}
    return {**whole, **changed}


def test_a_right_list_has_no_faults() -> None:
    assert faults(answer(), "ann", 20, NoFacts()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user_id": "bob"}, "the list of 'bob'"),
        ({"served": "guessed"}, "served is 'guessed'"),
        ({"version": ""}, "names no request or version"),
        ({"recommendations": [person("ann", 0.5, 1)]}, "its own viewer"),
        ({"recommendations": [person("bea", 0.5, 1), person("bea", 0.5, 2)]}, "a user twice"),
        ({"recommendations": [person("bea", 1.5, 1)]}, "not between 0 and 1"),
        ({"recommendations": [person("bea", float("nan"), 1)]}, "not between 0 and 1"),
        ({"recommendations": [person("bea", 0.4, 1), person("cid", 0.5, 2)]}, "scores rise"),
        ({"recommendations": [person("bea", 0.5, 2)]}, "positions"),
        ({"recommendations": [{**person("bea", 0.5, 1), "sources": "walks"}]}, "sources or reasons"),
        (
            {"recommendations": [person(f"p{at}", 0.5, at) for at in range(1, 22)]},
            "21 users, more than the limit of 20",
        ),
    ],
)
def test_each_fault_is_named(changed: dict[str, Any], said: str) -> None:
    (fault,) = faults(answer(**changed), "ann", 20, NoFacts())
    assert said in fault


def test_a_list_is_checked_against_the_facts_of_the_version(make_tables: Callable[..., Tables]) -> None:
    people = ["ann", "bea", "cid", "dan", "eva"]
    tables = make_tables(people, [(0, 1)], forbidden=[(0, 2)], flags={3: 6})
    shown = [person(one, 0.5, at) for at, one in enumerate(["bea", "cid", "dan", "eva"], 1)]
    found = faults(answer(recommendations=shown), "ann", 20, VersionFacts("v", tables))
    assert [one.partition(" is shown, who is ")[::2] for one in found] == [
        ("bea", "connected"),
        ("cid", "blocked, dismissed, invited, reported or declined"),
        ("dan", "not discoverable or not active"),
    ]
    assert faults(answer(recommendations=shown, version="w"), "ann", 20, VersionFacts("v", tables)) == []


def test_a_dataset_names_friends_and_the_hidden(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,active,discoverable\n1,true,true\n2,true,\n3,False,true\n4,true,0\n")
    (tmp_path / "connections.csv").write_text("user_id,other_id\n2,1\n3,4\n")
    users = viewers(tmp_path, Path(), "v", 10, 0)
    assert users.ids == ["1", "2", "4"]
    assert isinstance(users.facts, DatasetFacts)
    assert users.facts.forbidden("v", "1", ["2", "3", "4", "5"]) == {
        "2": "connected",
        "3": "not discoverable or not active",
        "4": "not discoverable or not active",
    }


def test_ids_come_from_lines_or_from_a_table(tmp_path: Path) -> None:
    lines, table = tmp_path / "ids", tmp_path / "ids.jsonl"
    lines.write_text("ann\n\nhéloïse\n")
    table.write_text('{"user_id": 7}\n{"user_id": 8}\n{"user_id": 7}\n')
    assert viewers(lines, Path(), "v", 3, 0).ids == ["ann", "héloïse"]
    assert viewers(table, Path(), "v", 3, 0).ids == ["7", "8"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ids", "ann\n", "holds 1 user ids"),
        ("ids", "ann\nb\x01b\n", "control character"),
        ("ids.csv", "id\nann\n", "no column user_id"),
        ("ids.csv", "", "cannot be read"),
    ],
)
def test_files_without_user_ids_are_wrong_usage(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said):
        viewers(tmp_path / name, Path(), "v", 3, 0)


def test_without_ids_and_without_the_versions_files_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--users FILE is needed"):
        viewers(None, tmp_path, "20260101T000000Z-0a1b2c", 3, 0)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x", "http://", "http://x:99999", "http://u:p@x", "http://x/?a=1"]
)
def test_what_is_no_address_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError):
        Target.of(url, None, "web", 20)


def test_an_address_may_have_a_path_and_stand_in_brackets() -> None:
    target = Target.of("https://[::1]/network/", "secret", "web", 20)
    assert (target.origin, target.prefix) == ("https://[::1]:443", "/network")
    assert target.headers == {"Authorization": "Bearer secret"}


def test_kinds_of_events_are_those_that_exist() -> None:
    assert parse_event_kinds("view, click") == ("view", "click")
    with pytest.raises(UsageError, match="--event-kinds"):
        parse_event_kinds("view,like")
