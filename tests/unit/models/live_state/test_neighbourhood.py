"""A person's friends and forbidden people as they are now."""

from collections.abc import Callable

import numpy as np
import pytest

from models.live_state.edges import CONTACT, UNCONTACT, Direction
from models.live_state.neighbourhood import Neighbourhood, neighbourhood
from models.live_state.user_record import LiveRecord
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.version.tables import Tables

CUT = 1000
PEOPLE = ("ann", "bea", "cid", "dan", "eva")


@pytest.fixture
def tables(make_tables: Callable[..., Tables]) -> Tables:
    """ann is a friend of bea and cid, and has dismissed dan."""
    made = make_tables(PEOPLE, [(0, 1), (0, 2), (3, 4)], forbidden=[(0, 3)])
    made.forbidden_kinds[:] = Relationship.DISMISSED
    return made


def did(*events: tuple[EventKind, str, int]) -> LiveRecord:
    record = LiveRecord()
    for kind, other, timestamp_us in events:
        record.apply(other, Direction.OUT, kind, timestamp_us)
    return record


def with_contacts(*others: str) -> LiveRecord:
    record = LiveRecord()
    for other in others:
        record.note(other, CONTACT, 5)
    return record


def found(tables: Tables, row: int | None, record: LiveRecord, gone: str = "") -> tuple[list[int], list[int]]:
    now = neighbourhood(tables, row, record, cut=CUT, refused_after=0, is_erased=lambda one: one == gone)
    return now.friends.tolist(), now.known.tolist()


def test_without_live_state_it_is_as_the_version_says(tables: Tables) -> None:
    assert found(tables, 0, LiveRecord()) == ([1, 2], [3])


def test_a_new_friend_is_one(tables: Tables) -> None:
    assert found(tables, 0, did((EventKind.CONNECT, "eva", CUT + 1))) == ([1, 2, 4], [3])


def test_what_the_version_knows_already_changes_nothing(tables: Tables) -> None:
    assert found(tables, 0, did((EventKind.CONNECT, "eva", CUT))) == ([1, 2], [3])


def test_who_was_left_is_forbidden_and_no_friend(tables: Tables) -> None:
    assert found(tables, 0, did((EventKind.DISCONNECT, "bea", CUT + 1))) == ([2], [1, 3])


def test_what_is_lifted_is_forbidden_no_more(tables: Tables) -> None:
    assert found(tables, 0, did((EventKind.UNDISMISS, "dan", CUT + 1))) == ([1, 2], [])


def test_a_newcomer_has_only_live_friends_and_strangers_have_no_row(tables: Tables) -> None:
    events = (EventKind.CONNECT, "bea", CUT + 1), (EventKind.CONNECT, "zoe", CUT + 2), (EventKind.BLOCK, "dan", CUT + 3)
    assert found(tables, None, did(*events)) == ([1], [3])


def test_the_erased_are_nobodys_friends(tables: Tables) -> None:
    both = did((EventKind.CONNECT, "eva", CUT + 1), (EventKind.CONNECT, "bea", CUT + 1))
    assert found(tables, 0, both, gone="bea") == ([2, 4], [3])


def test_contacts_are_those_who_are_neither_friends_nor_forbidden_nor_gone(tables: Tables) -> None:
    record = did((EventKind.BLOCK, "eva", CUT + 1))
    for other in ("bea", "cid", "dan", "eva", "zoe"):
        record.note(other, CONTACT, CUT - 5)
    assert neighbourhood(tables, 0, record, cut=CUT, refused_after=0).contacts.tolist() == []
    newcomer = neighbourhood(tables, None, record, cut=CUT, refused_after=0, is_erased=lambda one: one == "cid")
    assert (newcomer.contacts.tolist(), newcomer.friends.tolist()) == ([1, 3], [])
    assert newcomer != Neighbourhood(newcomer.friends, newcomer.known)


def test_contacts_who_are_taken_back_are_none(tables: Tables) -> None:
    record = with_contacts("bea", "cid")
    record.note("cid", UNCONTACT, 6)
    assert neighbourhood(tables, None, record, cut=CUT, refused_after=0).contacts.tolist() == [1]


@pytest.mark.parametrize("flag", list(Flag))
def test_contacts_who_are_hidden_or_hide_their_friends_are_none(tables: Tables, flag: Flag) -> None:
    record = with_contacts("bea", "dan")
    assert neighbourhood(tables, None, record, cut=CUT, refused_after=0).contacts.tolist() == [1, 3]
    since = neighbourhood(
        tables,
        None,
        record,
        cut=CUT,
        refused_after=0,
        flags_over=lambda one, base: base & ~flag if one == "bea" else base,
    )
    assert since.contacts.tolist() == [3]
    tables.flags[3] &= ~np.uint8(flag)
    assert neighbourhood(tables, None, record, cut=CUT, refused_after=0).contacts.tolist() == [1]


def test_two_neighbourhoods_are_equal_where_their_rows_are(tables: Tables) -> None:
    one, other = (neighbourhood(tables, row, LiveRecord(), cut=CUT, refused_after=0) for row in (1, 2))
    assert one == other
    assert one != Neighbourhood(one.friends, np.array([4], np.int32))
