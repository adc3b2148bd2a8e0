"""The budget of memory of a night: what is written on the command line, what a network needs, what a step took."""

from typing import Annotated

import structlog
from pydantic import BeforeValidator, ByteSize, TypeAdapter, ValidationError

from models.errors import UsageError
from models.system import memory_budget

LEAST = 1_000_000_000
"""libraries, compiled kernels and a small network"""
BASE = 700_000_000
"""of it what no network changes"""
BYTES_OF_A_PERSON = 4_500
"""at the least: two sets of positions, embeddings and the inputs of networks"""
BYTES_OF_A_FRIENDSHIP = 120
"""in the tables and graphs of a night"""

_Size = Annotated[ByteSize, BeforeValidator(lambda text: "" if len(text.split()) > 1 else text)]
"""pydantic takes what stands after the unit for nothing"""

log = structlog.get_logger(__name__)


def parsed(text: str) -> int:
    """The bytes of a size such as 8G or 512MiB. Raises UsageError for another text, and for less than LEAST."""
    try:
        size = int(TypeAdapter(_Size).validate_python(text))
    except ValidationError as error:
        raise UsageError(f"--memory {text} is no size: write it as 8G, 1500M or 8GiB") from error
    if size < LEAST:
        raise UsageError(f"--memory {text} is too little: a night on a small network takes {said(LEAST)}")
    return size


def check(people: int, friendships: int) -> None:
    """Notes what a network takes of the budget, for processes beside this one (memory_budget.room).

    Raises UsageError if it does not fit the budget whatever the size of blocks.
    """
    needed = BASE + BYTES_OF_A_PERSON * people + BYTES_OF_A_FRIENDSHIP * friendships
    memory_budget.hold(needed)
    most = memory_budget.most()
    if most is not None and needed > most:
        raise UsageError(
            f"--memory {said(most)} is too little for {people:,} people with {friendships:,} friendships: "
            f"a night on them takes about {said(needed)}"
        )


def tell(step: str, peak_mb: float) -> None:
    """Logs a warning if a step took more than the budget."""
    most = memory_budget.most()
    if most is not None and peak_mb * (1 << 20) > most:
        log.warning("memory_exceeded", step=step, peak=said(int(peak_mb * (1 << 20))), budget=said(most))


def said(size: int) -> str:
    """A size in gigabytes, as a person says it."""
    return f"{size / 1e9:.1f}G"
