"""A part of the worker outlives its faults, and says them."""

import threading

from models.errors import StoreUnavailableError
from service.worker.contact import Contact
from service.worker.housekeeping import PART, Housekeeper
from service.worker.rounds import repeat
from tests.support.memory_store import MemoryStore
from tests.support.nights import KEYS


class Pauses(threading.Event):
    """A stop event that comes after some waits, and notes how long they were."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.asked: list[float | None] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return len(self.asked) > self._most


def test_a_round_that_fails_is_told_and_the_next_one_comes_as_usual() -> None:
    contact, rounds = Contact(), iter([0.1, OSError("the disk is full"), 0.2])

    def one() -> float:
        done = next(rounds)
        if isinstance(done, OSError):
            raise done
        return done

    stop = Pauses(3)
    repeat(stop, one, contact, "lists", "lists_wait", every_s=60.0)
    assert stop.asked == [60.0, 0.1, 5.0, 0.2], "soon after a failure, for a store that is back"
    assert contact.failures == {"lists": 1}
    assert contact.fault() is None, "the round after it worked"


def test_housekeeping_without_a_store_is_a_fault_of_the_worker() -> None:
    contact = Contact()

    def asks() -> bool:
        raise StoreUnavailableError("The store does not answer.")

    stop = Pauses(2)
    Housekeeper(MemoryStore(), KEYS, asks, contact=contact).run(stop)
    assert stop.asked == [60.0, 5.0, 5.0]
    assert contact.failures == {PART: 2}
    assert contact.is_away
