"""A simulation that was stopped goes on with the people and the record that it had."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ArtefactError, UsageError
from offline.simulation.actions import Shown, answer, react, visitors
from offline.simulation.config import Behaviour
from offline.simulation.days import Days
from offline.simulation.people import People
from offline.simulation.progress import STATE, SavedProgress
from offline.synth import network

BEHAVIOUR = Behaviour()


def people() -> People:
    return People.of(network.generate(60, 8, seed=3), BEHAVIOUR, 3, 60)


def lived(some: People, record: Days, day: int) -> list[Shown]:
    """A day on which everybody is shown two people whom nobody was shown before."""
    two = [2 * day - 2, 2 * day - 1]
    shown = [Shown(viewer, f"sim-{day}-{viewer}", "web", "", "v", two) for viewer in range(10, 60)]
    reactions = react(some, BEHAVIOUR, 3, day, shown)
    record.add(day, shown, reactions)
    for inviter, invited, _ in reactions.invitations:
        some.waiting.setdefault(invited, []).append(inviter)
    answers = answer(some, BEHAVIOUR, 3, day, visitors(some, 3, day, 60))
    record.answered(answers.accepted, answers.declined)
    return shown


def test_the_next_days_are_those_of_a_simulation_that_was_not_stopped(tmp_path: Path) -> None:
    whole, record = people(), Days()
    for day in (1, 2, 3):
        lived(whole, record, day)
    SavedProgress(tmp_path).save(3, 58, whole, record, is_night_due=True)
    again, other = people(), Days()
    assert SavedProgress(tmp_path).restore(again, other) == (3, 58, True)
    for day in (4, 5):
        lived(whole, record, day)
        lived(again, other, day)
    assert other.table().equals(record.table())
    assert record.table()["accepted"].sum() > 0, "invitations of before the stop are answered after it"
    assert (again.friends, again.looked, again.waiting) == (whole.friends, whole.looked, whole.waiting)
    np.testing.assert_array_equal(again.degrees, whole.degrees)


def test_the_lists_of_a_begun_day_are_kept_until_it_is_over(tmp_path: Path) -> None:
    some, record, saved = people(), Days(), SavedProgress(tmp_path)
    shown = lived(some, record, 1)
    saved.save_lists(1, shown)
    assert saved.lists(1) == shown
    assert saved.lists(2) is None
    saved.save(1, 60, some, record, is_night_due=False)
    assert saved.lists(1) is None
    saved.end()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_gone_on_with_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no day that is over"):
        SavedProgress(tmp_path).restore(people(), Days())
    (tmp_path / STATE).write_text("{")
    with pytest.raises(ArtefactError, match=r"state\.json does not read back"):
        SavedProgress(tmp_path).restore(people(), Days())
