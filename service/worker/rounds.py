"""The loop of a worker's part that works in rounds, in a thread of its own."""

import threading
from collections.abc import Callable

from service.worker.contact import Contact

AGAIN_S = 5.0
"""pause after a round that failed, at most"""


def repeat(
    stop: threading.Event, round_: Callable[[], float], contact: Contact, part: str, fault: str, *, every_s: float
) -> None:
    """Calls `round_`, which returns the seconds until the next one, until the stop event; the first after `every_s`.

    A round that fails is told to `contact` as the event `fault` of `part`, and the next one comes after AGAIN_S, if not
    sooner: the thread survives, and is heard of soon after the store is back.
    """
    pause_s = every_s
    while not stop.wait(pause_s):
        try:
            pause_s = round_()
        except Exception as error:
            contact.failed(part, fault, error)
            pause_s = min(every_s, AGAIN_S)
        else:
            contact.worked(part)
