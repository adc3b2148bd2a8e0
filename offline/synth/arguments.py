"""What `pymk synth` is asked for, checked without loading anything numeric."""

import math
from pathlib import Path

from models.errors import UsageError

MEAN_FRIENDS = 20.0
"""default mean number of friends; in a network of less than 40, half as many as there are users"""

MADE_BY = "# made by pymk synth"
"""first line of the schema.toml of a synthetic dataset"""

USERS, CONNECTIONS, INTERACTIONS = "users.csv", "connections.csv", "interactions.csv"
HELD_OUT, FAKES, SCHEMA, CONTACTS = "held_out.csv", "fakes.csv", "schema.toml", "contacts.csv"
FILES = frozenset({USERS, CONNECTIONS, INTERACTIONS, HELD_OUT, FAKES, SCHEMA, CONTACTS})


def check_target(out: Path) -> Path:
    """The directory to write, as an absolute path. Raises UsageError if it holds anything but a synthetic dataset."""
    target = out.resolve()
    if Path.cwd().is_relative_to(target):
        raise UsageError(f"{out} is the directory you are in, or above it; name one below it")
    if not target.exists():
        return target
    if not target.is_dir():
        raise UsageError(f"{out} is a file; name a directory")
    found = {path.name for path in target.iterdir()}
    if found and not (found <= FILES and _made_here(target / SCHEMA)):
        raise UsageError(f"{out} is not empty and was not made by pymk synth; name another directory or remove it")
    return target


def _made_here(schema: Path) -> bool:
    if not schema.is_file():
        return False
    with schema.open("rb") as file:
        return file.read(len(MADE_BY)) == MADE_BY.encode()


def checked_mean(users: int, mean_friends: float | None) -> float:
    """The target mean number of friends. Raises UsageError if the arguments are impossible."""
    if users < 1:
        raise UsageError(f"a network has at least 1 user, not {users}")
    if mean_friends is None:
        return min(MEAN_FRIENDS, users / 2)
    if not math.isfinite(mean_friends) or mean_friends <= 0:
        raise UsageError(f"the mean number of friends must be above 0, not {mean_friends:g}")
    if mean_friends > users - 1:
        raise UsageError(f"{users} users cannot have {mean_friends:g} friends each: at most {users - 1}")
    return mean_friends
