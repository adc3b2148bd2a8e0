"""What came of lists: every event belongs to the list that it names, else to the last one that showed the person."""

import datetime
from typing import Any

import polars as pl
import pytest

from models.outcomes.schema import EXPOSURE_COLUMNS, OUTCOME_COLUMNS, OUTCOMES
from models.system.clock import DAY_US, HOUR_US
from offline.outcomes.events import EVENT_COLUMNS
from offline.outcomes.join import Windows, join_outcomes
from offline.outcomes.rates import rates

START = 1_790_000_000_000_000
NOW = START + 100 * DAY_US


def lists(*shown: tuple[str, str, float, str], **columns: Any) -> pl.DataFrame:
    """Exposures of (request id, viewer, hours from the start, candidates separated by blanks)."""
    rows: list[dict[str, Any]] = []
    for request_id, viewer, hours, candidates in shown:
        at = datetime.datetime.fromtimestamp((START + hours * HOUR_US) / 1e6, datetime.UTC)
        for position, candidate in enumerate(candidates.split(), 1):
            own = {"request_id": request_id, "viewer": viewer, "at": at, "candidate": candidate, "position": position}
            rows.append({"arms": [], "sources": [], "context": "web", "score": 0.5, **own, **columns})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items() if name not in rows[0]]
    known = {name: EXPOSURE_COLUMNS[name] for name in rows[0]}
    return pl.DataFrame(rows, schema=known).with_columns(missing).select(EXPOSURE_COLUMNS.names())


def events(*done: tuple[str, str, str, float] | tuple[str, str, str, float, str]) -> pl.DataFrame:
    """Events of (kind, user, other, hours from the start[, request id])."""
    rows = [
        (kind, user, other, START + round(hours * HOUR_US), *(name or [None]))
        for kind, user, other, hours, *name in done
    ]
    return pl.DataFrame(rows, schema=EVENT_COLUMNS, orient="row").sort("acknowledged")


def came_of(exposures: pl.DataFrame, done: pl.DataFrame, now: int = NOW) -> dict[tuple[str, str], set[str]]:
    """By request and candidate what is true of them."""
    joined = join_outcomes(exposures, done, Windows(), now=now)
    assert joined.schema == OUTCOME_COLUMNS
    assert all(joined[name].null_count() == 0 for name in (*OUTCOMES, "seen"))
    return {
        (row["request_id"], row["candidate"]): {name for name in (*OUTCOMES, "seen", "ignored") if row[name]}
        for row in joined.rows(named=True)
    }


def test_an_event_without_a_request_joins_no_list_older_than_one_with_people_who_are_not_recorded() -> None:
    """Bea was shown by rank first, and then perhaps as a contact, who is not in the log."""
    exposures = pl.concat(
        [lists(("r1", "ann", 0, "bea cid"), ("r0", "dan", 0, "bea")), lists(("r2", "ann", 5, "cid"), unrecorded=1)]
    )
    exposures = exposures.with_columns(exposures["at"]).sort("at", maintain_order=True)
    done = events(("invite", "ann", "bea", 4), ("click", "ann", "cid", 4))
    assert came_of(exposures, done)["r1", "bea"] == {"invited"}, "before"
    done = events(("invite", "ann", "bea", 6), ("click", "ann", "cid", 6), ("invite", "dan", "bea", 6))
    found = came_of(exposures, done)
    assert found["r1", "bea"] == {"ignored"}
    assert found["r2", "cid"] == {"clicked"}, "the list itself"
    assert found["r0", "bea"] == {"invited"}, "of another viewer"
    named = came_of(exposures, events(("invite", "ann", "bea", 6, "r2"), ("dismiss", "ann", "bea", 6, "r1")))
    assert named["r1", "bea"] == {"dismissed"}
    assert named["r2", "cid"] == {"ignored"}


def test_a_list_of_contacts_alone_keeps_events_from_older_lists_too() -> None:
    exposures = lists(("r1", "ann", 0, "bea"), ("r2", "ann", 5, "nobody"))
    alone = pl.col("request_id") == "r2"
    exposures = exposures.with_columns(
        candidate=pl.when(~alone).then("candidate"), unrecorded=pl.when(alone).then(1).cast(pl.UInt8)
    )
    found = came_of(exposures, events(("invite", "ann", "bea", 6)))
    assert found == {("r1", "bea"): {"ignored"}}, "bea may have been the contact"


def test_one_id_for_the_lists_of_two_contexts_leaves_both_whole() -> None:
    exposures = pl.concat([lists(("r1", "ann", 0, "bea cid")), lists(("r1", "ann", 0, "cid bea"), context="email")])
    joined = join_outcomes(exposures, events(("invite", "ann", "bea", 1, "r1")), Windows(), now=NOW)
    assert sorted(joined.group_by("context").len().rows()) == [("email", 2), ("web", 2)]
    assert joined["invited"].sum() == 1, "an invitation is one"


TWICE = lists(("r1", "ann", 0, "bea cid"), ("r2", "ann", 5, "bea cid"))


def test_an_event_with_a_request_belongs_to_its_list() -> None:
    found = came_of(TWICE, events(("click", "ann", "bea", 6, "r1"), ("dismiss", "ann", "cid", 6, "r2")))
    assert found == {
        ("r1", "bea"): {"clicked"},
        ("r1", "cid"): {"ignored"},
        ("r2", "bea"): {"ignored"},
        ("r2", "cid"): {"dismissed"},
    }


def test_an_event_without_a_request_belongs_to_the_last_list_that_showed_the_person() -> None:
    found = came_of(
        TWICE, events(("view", "ann", "bea", 4), ("report", "ann", "cid", 28.9), ("block", "ann", "bea", 29.1))
    )
    assert found == {
        ("r1", "bea"): {"clicked"},
        ("r1", "cid"): {"ignored"},
        ("r2", "bea"): {"ignored"},
        ("r2", "cid"): {"reported"},
    }, "a day is the window"


def test_an_event_before_every_list_and_one_of_a_list_that_was_not_recorded_belong_to_none() -> None:
    found = came_of(
        TWICE, events(("click", "ann", "bea", -1), ("click", "ann", "bea", 6, "r9"), ("click", "bea", "ann", 6))
    )
    assert set(map(frozenset, found.values())) == {frozenset({"ignored"})}


def test_an_answer_belongs_to_the_list_from_which_the_person_was_invited() -> None:
    done = events(
        ("invite", "ann", "bea", 1, "r1"),
        ("invite", "ann", "cid", 6),
        ("accept", "bea", "ann", 20 * 24),
        ("decline", "cid", "ann", 40 * 24),
        ("accept", "cid", "zoe", 7),
    )
    found = came_of(TWICE, done)
    assert found["r1", "bea"] == {"invited", "accepted"}
    assert found["r2", "bea"] == {"ignored"}
    assert found["r2", "cid"] == {"invited"}, "the answer came after its window"


@pytest.mark.parametrize("connect", [("connect", "bea", "ann", 9.0), ("connect", "ann", "bea", 9.0)])
def test_a_connection_after_an_invite_is_its_acceptance(connect: tuple[str, str, str, float]) -> None:
    found = came_of(lists(("r1", "ann", 0, "bea")), events(("invite", "ann", "bea", 1), connect))
    assert found["r1", "bea"] == {"invited", "accepted"}


def test_a_connection_at_once_is_an_accepted_invite() -> None:
    found = came_of(TWICE, events(("connect", "ann", "bea", 6, "r2"), ("connect", "cid", "ann", 6)))
    assert found["r2", "bea"] == {"invited", "accepted"}
    assert found["r2", "cid"] == {"ignored"}, "the other one's own doing"


def test_who_is_ignored_is_said_once_the_window_is_over() -> None:
    joined = join_outcomes(TWICE, events(("impression", "ann", "bea", 0.1, "r1")), Windows(), now=START + 7 * DAY_US)
    assert joined["ignored"].to_list() == [True, True, None, None]
    assert joined["seen"].to_list() == [True, False, False, False]
    assert joined["joined_by"].to_list() == ["request_id", None, None, None]


def test_no_outcome_is_counted_twice() -> None:
    again = pl.concat([TWICE, lists(("r1", "ann", 1, "bea"))])
    joined = join_outcomes(
        again, events(("click", "ann", "bea", 2, "r1"), ("click", "ann", "bea", 3, "r1")), Windows(), now=NOW
    )
    assert len(joined) == 4
    assert joined["clicked"].sum() == 1


def test_nothing_is_fine() -> None:
    assert join_outcomes(TWICE.clear(), events(), Windows(), now=NOW).schema == OUTCOME_COLUMNS
    assert rates(join_outcomes(TWICE.clear(), events(), Windows(), now=NOW))["all"]["shown"] == 0


def test_rates_are_shares_of_those_shown() -> None:
    exposures = pl.concat(
        [
            lists(
                ("r1", "ann", 0, "a b c d"), context="web", sources=["popular"], arms=[{"experiment": "x", "arm": "b"}]
            ),
            lists(("r2", "bob", 0, "a b"), context="email", sources=["popular", "embedding"], score=0.9),
        ]
    )
    done = events(
        ("invite", "ann", "a", 1, "r1"),
        ("accept", "a", "ann", 2),
        ("invite", "ann", "b", 1, "r1"),
        ("click", "bob", "b", 1),
    )
    found = rates(join_outcomes(exposures, done, Windows(), now=NOW))
    assert (found["lists"], found["viewers"]) == (2, 2)
    assert (found["all"]["shown"], found["all"]["invited"], found["all"]["clicked"]) == (6, 2 / 6, 1 / 6)
    assert (found["all"]["accepted"], found["all"]["accepted_of_invited"], found["all"]["ignored"]) == (1 / 6, 0.5, 0.5)
    by = {group: {line["value"]: line for line in lines} for group, lines in found["by"].items()}
    assert {value: line["shown"] for value, line in by["source"].items()} == {"embedding": 2, "popular": 6}
    assert {value: line["invited"] for value, line in by["context"].items()} == {"email": 0, "web": 0.5}
    assert {value: line["shown"] for value, line in by["arm"].items()} == {"none": 2, "x=b": 4}
    assert [by["position"][place]["shown"] for place in (1, 2, 3, 4)] == [2, 2, 1, 1]
    assert {value: line["shown"] for value, line in by["score_decile"].items()} == {7: 4, 10: 2}


def test_a_later_page_stands_below_the_pages_before() -> None:
    first, second = lists(("r1", "ann", 0, "bea cid"), offset=0), lists(("r2", "ann", 1, "dan eve"), offset=2)
    far = lists(("r3", "ann", 2, "fay"), offset=60)
    joined = join_outcomes(
        pl.concat([first, second, far]), events(("click", "ann", "dan", 2, "r2")), Windows(), now=NOW
    )
    found = [(line["value"], line["shown"], line["clicked"]) for line in rates(joined)["by"]["position"]]
    assert found == [(1, 1, 0), (2, 1, 0), (3, 1, 1), (4, 1, 0), (21, 1, 0)]
