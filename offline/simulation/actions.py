"""What people do with the lists that they were given, and with the invitations that wait for them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.simulation.config import Behaviour
from offline.simulation.people import People
from offline.simulation.uniforms import Draw, uniforms

EMAIL, MOBILE, WEB = "email", "mobile", "web"
BLOCKED, REPORTED = 0.03, 0.01
"""shares of those dismissed who are blocked or reported instead"""
DECLINED = 0.5
"""share of the answers that are no acceptance: the others never come"""


class Shown(NamedTuple):
    """One list as the service gave it out."""

    viewer: int
    request_id: str
    context: str
    arms: str
    """JSON, by experiment"""
    version: str
    candidates: list[int]
    """in their places; -1 for one whom the simulation does not know"""


@dataclass
class Reactions:
    """What viewers did, pair by pair (m,), in the order of lists and places."""

    lists: NDArray[np.int64]
    """numbers of the lists"""
    looked: NDArray[np.bool_]
    clicked: NDArray[np.bool_]
    invited: NDArray[np.bool_]
    dismissed: NDArray[np.bool_]
    expected: Float64s
    """probability that the pair becomes friends through this place, before anybody decided"""
    events: list[dict[str, Any]]
    """as POST /pymk/events takes them"""
    invitations: list[tuple[int, int, int]]
    """inviter, invited, and number of the list"""


def visitors(people: People, seed: int, day: int, present: int) -> NDArray[np.int64]:
    """The people who look at a list on a day, of the first `present`."""
    everybody = np.arange(present)
    coming = uniforms(seed, day, Draw.VISIT, everybody) < people.visits[:present]
    return np.flatnonzero(coming & people.active[:present])


def contexts(behaviour: Behaviour, seed: int, day: int, viewers: NDArray[np.int64]) -> list[str]:
    """Where each visitor looks at the list."""
    drawn = uniforms(seed, day, Draw.CONTEXT, viewers)
    mobile = behaviour.email_share + 0.25 * (1 - behaviour.email_share)
    return [EMAIL if one < behaviour.email_share else MOBILE if one < mobile else WEB for one in drawn.tolist()]


def react(people: People, behaviour: Behaviour, seed: int, day: int, shown: Sequence[Shown]) -> Reactions:
    """What the viewers of lists do: look at the first places more than at later ones, click, invite, dismiss."""
    # one row for each place with somebody whom the simulation knows
    flat = [
        (number, one.viewer, candidate, place)
        for number, one in enumerate(shown)
        for place, candidate in enumerate(one.candidates, 1)
        if candidate >= 0
    ]
    lists, viewers, candidates, places = np.array(flat, dtype=np.int64).reshape(-1, 4).T
    email = np.array([one.context == EMAIL for one in shown], dtype=bool)[lists]

    def drawn(draw: Draw) -> Float64s:
        return uniforms(seed, day, draw, viewers, candidates)

    # what they do
    looks = places.astype(np.float64) ** -behaviour.position_bias
    invites = people.invites(behaviour, viewers, candidates, email)
    accepts = people.accepts(behaviour, candidates, viewers, np.ones(len(lists)))
    looked = drawn(Draw.LOOK) < looks
    invited = looked & (drawn(Draw.INVITE) < invites)
    clicked = invited | (looked & (drawn(Draw.CLICK) < _odds(behaviour.click)))
    dismissed = looked & ~invited & (drawn(Draw.DISMISS) < _odds(behaviour.dismiss))
    # said to the service in the order of the lists
    kind = drawn(Draw.KIND)
    events, invitations = list[dict[str, Any]](), list[tuple[int, int, int]]()
    for at in np.flatnonzero(looked).tolist():
        number, viewer, candidate = int(lists[at]), int(viewers[at]), int(candidates[at])
        one = shown[number]
        named = {"user_id": people.ids[viewer], "other_id": people.ids[candidate]}
        said = {**named, "request_id": one.request_id, "context": one.context, "position": int(places[at])}
        events.append({"kind": "impression", **said})
        if clicked[at]:
            events.append({"kind": "click", **said})
        if invited[at]:
            events.append({"kind": "invite", **said})
            invitations.append((viewer, candidate, number))
        if dismissed[at]:
            word = "report" if kind[at] < REPORTED else "block" if kind[at] < REPORTED + BLOCKED else "dismiss"
            events.append({"kind": word, **said})
        pair = (viewer, candidate)
        people.looked[pair] = people.looked.get(pair, 0) + 1
    expected = looks * invites * accepts
    return Reactions(lists, looked, clicked, invited, dismissed, expected, events, invitations)


class Answers(NamedTuple):
    """How invitations were answered on a day."""

    events: list[dict[str, Any]]
    accepted: list[tuple[int, int]]
    """inviter and invited"""
    declined: list[tuple[int, int]]


def answer(people: People, behaviour: Behaviour, seed: int, day: int, here: NDArray[np.int64]) -> Answers:
    """What the people who are here answer to the invitations that wait; those who accept become friends."""
    found = Answers([], [], [])
    present = set(here.tolist())
    for invited in sorted(people.waiting.keys() & present):
        inviters = np.array(people.waiting[invited], dtype=np.int64)
        selves = np.full(len(inviters), invited)
        answered = uniforms(seed, day, Draw.ANSWER, selves, inviters) < behaviour.answers
        chances = people.accepts(behaviour, selves, inviters, np.full(len(inviters), float(len(inviters))))
        accepted = uniforms(seed, day, Draw.ACCEPT, selves, inviters) < chances
        declined = uniforms(seed, day, Draw.DECLINE, selves, inviters) < DECLINED
        for at in np.flatnonzero(answered).tolist():
            inviter = int(inviters[at])
            if not accepted[at] and not declined[at]:
                continue
            kind = "accept" if accepted[at] else "decline"
            found.events.append({"kind": kind, "user_id": people.ids[invited], "other_id": people.ids[inviter]})
            (found.accepted if accepted[at] else found.declined).append((inviter, invited))
            if accepted[at]:
                people.befriend(inviter, invited)
        people.waiting[invited] = inviters[~answered].tolist()
        if not people.waiting[invited]:
            del people.waiting[invited]
    return found


def _odds(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
