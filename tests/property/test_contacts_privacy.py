"""An observer learns nothing from her lists of what others have in their address books.

Each history is lived in two worlds, which differ in nothing but the contacts of everybody but the observer. What the
observer is shown, and in which order, must be the same after every step; so no number of probes tells the worlds apart.
20,000 histories:

    PYMK_SEQUENCES=20000 pytest tests/property/test_contacts_privacy.py
"""

import os
import random

import anyio
import pytest

from models.contacts.address import keyed
from models.contacts.matching import Matcher
from models.contacts.write_contacts import write_contacts
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from tests.support.contacts import hash_of
from tests.support.memory_store import MemoryStore
from tests.support.stores import DisconnectableStore

SEQUENCES = int(os.environ.get("PYMK_SEQUENCES", "60"))
STEPS = 25
PEOPLE = [UserId(name) for name in ("observer", "ann", "bea", "cid", "dan")]
OBSERVER = PEOPLE[0]
KEYS = Keys("pymk")
KEY = b"k" * 32


class Side:
    """One world: a store, and what the worker does with it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.requests = DisconnectableStore(self.store)
        self.matcher = Matcher(self.store, KEYS)

    async def upload(self, user_id: UserId, contacts: frozenset[str] | None, own: frozenset[str] | None) -> None:
        await write_contacts(
            self.requests,
            KEYS,
            user_id,
            contacts=None if contacts is None else frozenset(keyed([hash_of(one) for one in contacts], KEY)),
            own=None if own is None else frozenset(keyed([hash_of(one) for one in own], KEY)),
            daily=10_000,
        )
        self.matcher.match(user_id)

    async def step(self, action: str, user_id: UserId, other: UserId, chosen: frozenset[str]) -> None:
        """One step of a history; who is shown to the observer may change."""
        if action == "upload":
            await self.upload(user_id, chosen, None)
        elif action == "withdraw":
            await self.upload(user_id, frozenset(), None)
        elif action == "join":
            await self.upload(user_id, None, frozenset({user_id}))
        elif action == "leave":
            await self.upload(user_id, None, frozenset())
        elif action == "erase":
            await write_erasure(self.requests, KEYS, user_id)
            self.matcher.match(user_id)
        elif action == "put":
            await write_profile(self.requests, KEYS, user_id, {"company": "Acme"})
        elif user_id != other:
            kind = EventKind.BLOCK if action == "block" else EventKind.UNBLOCK
            await write_events(self.requests, KEYS, [Event(kind, user_id, other)])

    def shown(self) -> list[list[str]]:
        """Whom the observer has as contacts, those found last first; found at once in one list."""
        found = LiveRecord.unpack(self.store.get(KEYS.live(OBSERVER))).contacts()
        return [sorted(one for one in found if found[one] == at) for at in sorted(set(found.values()), reverse=True)]


ACTIONS = ("upload", "upload", "upload", "withdraw", "join", "join", "leave", "erase", "put", "block", "unblock")


async def live(seed: int) -> int:
    """Lives one history in both worlds; returns how often somebody's contacts differed between them."""
    draw = random.Random(seed)
    worlds = Side(), Side()
    differed = 0
    for _ in range(STEPS):
        action, user_id, other = draw.choice(ACTIONS), draw.choice(PEOPLE), draw.choice(PEOPLE)
        chosen, another = (frozenset(one for one in PEOPLE if draw.random() < 0.5) for _ in range(2))
        for number, world in enumerate(worlds):
            own = chosen if user_id == OBSERVER or not number else another
            await world.step(action, user_id, other, own or frozenset({OBSERVER}) if action == "upload" else own)
        differed += action == "upload" and user_id != OBSERVER and chosen != another
        first, second = (world.shown() for world in worlds)
        assert first == second, f"seed {seed}: {action} {user_id}"
    return differed


def test_worlds_that_differ_in_others_address_books_look_alike() -> None:
    differed = 0
    for seed in range(SEQUENCES):
        differed += anyio.run(live, seed)
    assert differed > SEQUENCES, "the worlds did differ"


async def _probes(count: int) -> int:
    """Probes of an attacker who uploads again and again; returns how often the worlds looked different."""
    draw = random.Random(7)
    worlds = Side(), Side()
    for world in worlds:
        for user_id in PEOPLE:
            await world.upload(user_id, None, frozenset({user_id}))
    for victim in PEOPLE[1:]:  # in the first world everybody has the observer, in the second nobody has
        await worlds[0].upload(victim, frozenset({OBSERVER}), None)
    told = 0
    for _ in range(count):
        chosen = frozenset(one for one in PEOPLE[1:] if draw.random() < 0.5)
        for world in worlds:
            await world.upload(OBSERVER, chosen, None)
        told += worlds[0].shown() != worlds[1].shown()
    return told


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_probes_tell_an_attacker_nothing(count: int) -> None:
    assert anyio.run(_probes, count) == 0
