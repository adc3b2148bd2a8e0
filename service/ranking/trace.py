"""What one request measured of itself on its way down: times of its stages, and what each rule did."""

from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True)
class Trace:
    """The record of one request, which each stage appends to; by rule, how many people it dropped or demoted.

    A stage ends with `marks.append((name, perf_counter()))`: a list is appended to without a call into this file.
    """

    marks: list[tuple[str, float]] = field(default_factory=list)
    """name of a stage, and when it ended; a stage may end several times"""
    drops: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=perf_counter)

    def stages(self) -> dict[str, float]:
        """Seconds of each stage, in the order in which they first ended."""
        seconds: dict[str, float] = {}
        since = self.started
        for stage, ended in self.marks:
            seconds[stage] = seconds.get(stage, 0.0) + ended - since
            since = ended
        return seconds
