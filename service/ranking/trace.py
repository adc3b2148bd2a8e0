"""From a candidate block to the list that its viewer is shown: score, rules, order. Neither HTTP nor a store."""

from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True)
class Trace:
    """What happened to one request: seconds of each stage in order; by rule, how many it kept out or put aside."""

    stages: dict[str, float] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    _since: float = field(default_factory=perf_counter)

    def stage(self, name: str) -> None:
        """The time since the last stage ended went into this one."""
        at = perf_counter()
        self.stages[name] = self.stages.get(name, 0.0) + at - self._since
        self._since = at
