"""What the supervisor of the embedded store tells the commands that hold a connection to it: one JSON line each."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How the server is."""

    STARTING = "starting"
    LOADING = "loading"
    """reads its data from disk; `percent` says how far"""
    READY = "ready"
    DOWN = "down"
    """died and is started again; `reason` says what it said last"""
    FAILED = "failed"
    """does not start; `reason` says why, and the supervisor leaves"""


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
        """The status of a line; raises ValueError where it is none."""
        fields = json.loads(line)
        return cls(State(fields["state"]), float(fields["percent"]), str(fields["reason"]))

    def __str__(self) -> str:
        """The sentence that a person is shown."""
        match self.state:
            case State.LOADING:
                return f"The embedded store reads its data: {self.percent:.0f}%"
            case State.DOWN:
                return f"The embedded store stopped and is started again. It said last:\n{self.reason}"
            case State.FAILED:
                return f"The embedded store does not start:\n{self.reason}"
            case _:
                return f"The embedded store is {self.state}"
