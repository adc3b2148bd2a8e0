"""What is known of one request while it is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from service.web.problems import ProblemError

RECORD = "pymk.record"
"""key of the Record in the scope of a request"""


@dataclass(slots=True)
class Record:
    """The record of one request, for its log line, its counts and the headers of its answer."""

    request_id: str
    headers: Mapping[bytes, bytes]
    """by lower-case name; the values of a repeated one are joined by commas"""
    peer: Sequence[Any] | None = None
    """address and port that the request came from"""
    started: float = field(default_factory=perf_counter)
    route: str = "none"
    """path of the route, with placeholders: user ids must not get into logs"""
    status: int = 500
    user_id: str | None = None
    key: str | None = None
    """the name of the caller's key"""
    admitted: str | None = None
    """the scope for which the key was checked and the rate counted"""
    rate: tuple[tuple[bytes, bytes], ...] = ()
    """the headers that tell a limited caller what is left"""
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def client(self) -> str:
        """The address that the request came from, "" if it is not known."""
        return str(self.peer[0]) if self.peer else ""

    def refused(self, problem: ProblemError) -> None:
        """Records that the answer is a problem: its status, and the error that the log alone shows."""
        self.status = problem.status.value
        if problem.logged is not None:
            self.facts["error"] = problem.logged
