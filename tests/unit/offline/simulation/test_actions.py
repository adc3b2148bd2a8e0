"""What simulated people do, on lists whose places and people are known."""

import numpy as np
import pytest

from offline.simulation.actions import EMAIL, WEB, Shown, answer, contexts, react, visitors
from offline.simulation.config import Behaviour
from offline.simulation.days import Days
from offline.simulation.people import TASTES, People

N = 400
PLAIN = Behaviour(invite=-3, taste=0, fame=0)
LAYERS = 8


def people(behaviour: Behaviour = PLAIN) -> People:
    """People of whom the first half are colleagues, without friends and of no taste."""
    groups = np.full((N, LAYERS), -1, dtype=np.int32)
    groups[: N // 2, 4] = 1
    nothing = np.zeros((N, TASTES))
    return People(
        ids=[f"p{at}" for at in range(N)],
        groups=groups,
        visits=np.full(N, 0.5),
        fame=np.full(N, behaviour.fame),
        taste=nothing,
        appeal=nothing,
        active=np.ones(N, dtype=bool),
        friends=[set() for _ in range(N)],
    )


def lists(candidates: list[int], context: str = WEB) -> list[Shown]:
    """The same list for every viewer who is not in it."""
    viewers = [at for at in range(N) if at not in candidates]
    return [Shown(viewer, f"r{viewer}", context, "", "v", candidates) for viewer in viewers]


def test_first_places_are_looked_at_more_than_later_ones() -> None:
    found = react(people(), PLAIN, 0, 1, lists(list(range(10))))
    shares = found.looked.reshape(-1, 10).mean(axis=0)
    assert shares[0] == 1
    assert shares == pytest.approx(np.arange(1, 11) ** -PLAIN.position_bias, abs=0.08)


def test_colleagues_are_invited_more_than_strangers() -> None:
    found = react(people(), PLAIN, 0, 1, lists([0]))
    viewers = np.arange(1, N)
    invited = found.invited[viewers < N // 2].mean(), found.invited[viewers >= N // 2].mean()
    assert invited[0] == pytest.approx(1 / (1 + np.e), abs=0.08)
    assert invited[1] == pytest.approx(1 / (1 + np.exp(3)), abs=0.04)
    assert (found.clicked >= found.invited).all()
    assert not (found.dismissed & found.invited).any()


def test_mail_wants_colleagues_more() -> None:
    web, mail = (react(people(), PLAIN, 0, 1, lists([0], context)) for context in (WEB, EMAIL))
    assert mail.expected[: N // 2 - 1].mean() > 1.3 * web.expected[: N // 2 - 1].mean()
    assert mail.expected[N // 2 :].mean() == pytest.approx(web.expected[N // 2 :].mean())


def test_the_famous_are_passed_over() -> None:
    known = people(PLAIN)
    known.fame[:] = 1.0
    known.friends[0] = set(range(100, 200))
    found = react(known, PLAIN, 0, 1, lists([0]))
    other = react(known, PLAIN, 0, 1, lists([1]))
    assert found.expected.mean() < 0.1 * other.expected.mean()


def test_faces_tire() -> None:
    known = people()
    first = react(known, PLAIN, 0, 1, lists([0]))
    for day in range(2, 7):
        later = react(known, PLAIN, 0, day, lists([0]))
    assert later.expected.mean() < 0.5 * first.expected.mean()
    assert known.looked[1, 0] == 6


def test_what_is_said_to_the_service_names_list_and_place() -> None:
    found = react(people(), PLAIN, 0, 1, lists([0, 1]))
    kinds = {event["kind"] for event in found.events}
    assert kinds >= {"impression", "click", "invite"}
    assert sum(event["kind"] == "impression" for event in found.events) == found.looked.sum()
    second = next(event for event in found.events if event["other_id"] == "p1")
    assert second["position"] == 2
    assert second["request_id"] == f"r{second['user_id'][1:]}"


def test_a_person_whom_the_simulation_does_not_know_is_passed_over() -> None:
    found = react(people(), PLAIN, 0, 1, lists([-1, 0]))
    assert {event["other_id"] for event in found.events} == {"p0"}
    assert {event["position"] for event in found.events} == {2}


def test_the_same_pair_decides_alike_whatever_else_is_shown() -> None:
    alone = react(people(), PLAIN, 3, 1, lists([0]))
    among = react(people(), PLAIN, 3, 1, lists([0, 1, 2, 3]))
    first = among.invited.reshape(-1, 4)[:, 0]
    assert (first == alone.invited[3:]).all()


def test_answers_make_friends_and_load_makes_refusals() -> None:
    known, eager = people(), replace_answers(1.0)
    known.waiting = {0: [1], 1: list(range(2, 102))}
    everybody = np.arange(N)
    found = answer(known, eager, 0, 1, everybody)
    assert {event["kind"] for event in found.events} <= {"accept", "decline"}
    assert not known.waiting
    for inviter, invited in found.accepted:
        assert inviter in known.friends[invited]
        assert invited in known.friends[inviter]
    flooded = sum(invited == 1 for _, invited in found.accepted)
    assert flooded < 5, "a hundred at once are hardly ever accepted"


def replace_answers(share: float) -> Behaviour:
    return PLAIN.model_copy(update={"answers": share})


def test_who_is_not_here_answers_nothing() -> None:
    known = people()
    known.waiting = {0: [1]}
    assert answer(known, PLAIN, 0, 1, np.array([5])).events == []
    assert known.waiting == {0: [1]}


def test_visitors_are_active_and_of_those_who_are_there() -> None:
    known = people()
    known.active[:100] = False
    coming = visitors(known, 0, 1, present=300)
    assert coming.min() >= 100
    assert coming.max() < 300
    assert len(coming) == pytest.approx(100, abs=30)
    assert set(contexts(PLAIN, 0, 1, np.arange(N))) == {"email", "mobile", "web"}


def test_days_count_answers_where_the_invitation_came_from() -> None:
    known, record = people(), Days()
    shown = lists([0])
    shown[0] = replace_arms(shown[0], '{"x":"a"}')
    found = react(known, PLAIN, 0, 1, shown)
    record.add(1, shown, found)
    record.answered([(inviter, invited) for inviter, invited, _ in found.invitations], [])
    table = record.table()
    assert table["lists"].sum() == len(shown)
    assert table["accepted"].to_list() == table["invited"].to_list()
    assert table["looked"].sum() == found.looked.sum()
    assert table["expected"].sum() == pytest.approx(found.expected.sum())
    assert table["arms"].to_list() == ["", '{"x":"a"}']


def replace_arms(one: Shown, arms: str) -> Shown:
    return one._replace(arms=arms)
