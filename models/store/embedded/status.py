"""The status that the supervisor of the embedded store sends to its connected commands, as one JSON line each."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of the server."""

    STARTING = "starting"
    LOADING = "loading"
    """reads its data from disk; `percent` is the progress"""
    READY = "ready"
    """answers"""
    DOWN = "down"
    """ended and is restarted; `reason` has its last output"""
    FAILED = "failed"
    """does not start; `reason` has its last output; the supervisor ends"""


@dataclass(frozen=True, slots=True)
class Status:
    """One line of the supervisor."""

    state: State
    percent: float = 0.0
    reason: str = ""

    def encode(self) -> bytes:
        """The line, with its end."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Status":
        """The status of a line; raises ValueError if it is not valid."""
        fields = json.loads(line)
        return cls(State(fields["state"]), float(fields["percent"]), str(fields["reason"]))

    def __str__(self) -> str:
        """A sentence for the user of a command."""
        match self.state:
            case State.LOADING:
                return f"The embedded store reads its data: {self.percent:.0f}%"
            case State.DOWN:
                return f"The embedded store stopped and is restarted. Its last output:\n{self.reason}"
            case State.FAILED:
                return f"The embedded store does not start:\n{self.reason}"
            case _:
                return f"The embedded store is {self.state}"
