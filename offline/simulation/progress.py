"""What a simulation that was stopped goes on from: the state after its last whole day, and the lists of a begun one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from models.errors import ArtefactError, UsageError
from models.system import files
from offline.simulation.actions import Shown
from offline.simulation.days import Days
from offline.simulation.people import People

STATE, LISTS = "state.json", "lists.json"


@dataclass
class SavedProgress:
    """The files of one simulation that is not over."""

    directory: Path

    def save(self, day: int, present: int, people: People, record: Days, *, is_night_due: bool) -> None:
        """Keeps the state after a whole day; with `is_night_due` the night after it is still to come."""
        state = {"day": day, "present": present, "is_night_due": is_night_due}
        files.write_bytes(self._state, orjson.dumps({**state, "people": people.state(), "record": record.state()}))
        self._lists.unlink(missing_ok=True)

    def restore(self, people: People, record: Days) -> tuple[int, int, bool]:
        """Puts people and record back; returns the day that is over, how many people there are, and whether the night
        after it is still to come.

        Raises UsageError if nothing was kept, ArtefactError if it does not read back.
        """
        if not self._state.exists():
            raise UsageError(f"{self.directory} has no day that is over; run pymk simulate without --resume")
        try:
            state = orjson.loads(files.read_bytes(self._state))
            people.restore(state["people"])
            record.restore(state["record"])
            return int(state["day"]), int(state["present"]), bool(state["is_night_due"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{self._state} does not read back: {error!r}; run it without --resume") from error

    def save_lists(self, day: int, shown: list[Shown]) -> None:
        """Keeps the lists of a day before anybody reacts, so that the day is gone on with after they were given out."""
        files.write_bytes(self._lists, orjson.dumps({"day": day, "shown": [list(one) for one in shown]}))

    def lists(self, day: int) -> list[Shown] | None:
        """The lists of a day that was begun; None if they were not all given out."""
        if not self._lists.exists():
            return None
        try:
            kept: dict[str, Any] = orjson.loads(files.read_bytes(self._lists))
            return [Shown(*one) for one in kept["shown"]] if kept["day"] == day else None
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{self._lists} does not read back: {error!r}; run it without --resume") from error

    def end(self) -> None:
        """Forgets what was kept: the simulation is over."""
        for path in (self._state, self._lists):
            path.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.directory / STATE

    @property
    def _lists(self) -> Path:
        return self.directory / LISTS
