"""What became of requests: counts and durations, of one process or of several added up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from service.loadtest.connection import Answer, Asked
from service.loadtest.histogram import Histogram
from service.loadtest.mix import KINDS

HELD = 4096
"""durations that wait to be counted together"""
_BAD = 400
_UNAVAILABLE = 503


class Durations:
    """A histogram that is filled one duration at a time and counts them in batches."""

    __slots__ = ("_histogram", "_waiting")

    def __init__(self) -> None:
        self._histogram = Histogram()
        self._waiting: list[float] = []

    def add(self, seconds: float) -> None:
        """Counts one."""
        self._waiting.append(seconds)
        if len(self._waiting) >= HELD:
            self.histogram()

    def histogram(self) -> Histogram:
        """All that were counted."""
        self._histogram.record(self._waiting)
        self._waiting.clear()
        return self._histogram

    def merge(self, other: "Durations") -> None:
        """Adds what another counted."""
        self.histogram().merge(other.histogram())


@dataclass
class Outcomes:
    """What became of the requests of one kind."""

    asked: int = 0
    answered: int = 0
    """with a status below 400"""
    refused: int = 0
    """503 with Retry-After: the service said to come back"""
    errors: Counter[str] = field(default_factory=Counter)
    """by what happened instead: timeout, connect, closed, protocol, a status"""
    statuses: Counter[int] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    latency: Durations = field(default_factory=Durations)
    """from the intended start to the whole answer; a timeout counts with as long as it was waited for"""
    from_send: Durations = field(default_factory=Durations)
    """from the moment of sending: what a client that waits its turn would have seen"""
    stages: dict[str, Durations] = field(default_factory=dict)
    """what the service says of itself in Server-Timing"""

    @property
    def failed(self) -> int:
        """Requests that ended in an error."""
        return sum(self.errors.values())

    def merge(self, other: "Outcomes") -> None:
        """Adds another's."""
        self.asked += other.asked
        self.answered += other.answered
        self.refused += other.refused
        self.errors.update(other.errors)
        self.statuses.update(other.statuses)
        self.served.update(other.served)
        self.latency.merge(other.latency)
        self.from_send.merge(other.from_send)
        for stage, durations in other.stages.items():
            self.stages.setdefault(stage, Durations()).merge(durations)


@dataclass
class Slice:
    """A stretch of the run, by the intended starts in it."""

    answered: int = 0
    unanswered: int = 0
    latency: Durations = field(default_factory=Durations)

    def merge(self, other: "Slice") -> None:
        """Adds another process's."""
        self.answered += other.answered
        self.unanswered += other.unanswered
        self.latency.merge(other.latency)


@dataclass
class Tally:
    """All that one process saw after the warm-up."""

    measured_from_s: float = 0.0
    """of time.monotonic(): the end of the warm-up"""
    slice_s: float = 1.0
    planned: int = 0
    """requests that the schedule held after the warm-up"""
    waited: int = 0
    """requests that found all connections busy"""
    processor_s: float = 0.0
    outcomes: tuple[Outcomes, ...] = field(default_factory=lambda: tuple(Outcomes() for _ in KINDS))
    """by kind, in the order of KINDS"""
    lateness: Durations = field(default_factory=Durations)
    """how much later than intended the harness itself got round to a request"""
    waiting: Durations = field(default_factory=Durations)
    """how long requests waited for a free connection, where they did"""
    slices: dict[int, Slice] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """Requests that the harness got round to."""
        return sum(one.asked for one in self.outcomes)

    def begun(self, asked: Asked, now_s: float) -> None:
        """The harness got round to a request."""
        if asked.measured:
            self.outcomes[asked.kind].asked += 1
            self.lateness.add(max(now_s - asked.at_s, 0.0))

    def sent_after_waiting(self, asked: Asked, now_s: float) -> None:
        """A request that had found all connections busy was sent."""
        if asked.measured:
            self.waiting.add(now_s - asked.at_s)

    def answered(self, asked: Asked, answer: Answer, now_s: float) -> None:
        """An answer is whole."""
        if not asked.measured:
            return
        outcomes = self.outcomes[asked.kind]
        outcomes.statuses[answer.status] += 1
        if answer.status >= _BAD:
            if answer.status == _UNAVAILABLE and answer.retry_after:
                outcomes.refused += 1
            else:
                outcomes.errors[str(answer.status)] += 1
            self._slice(asked).unanswered += 1
            return
        outcomes.answered += 1
        outcomes.latency.add(now_s - asked.at_s)
        outcomes.from_send.add(now_s - asked.sent_s)
        if answer.served:
            outcomes.served[answer.served] += 1
        if answer.timing:
            self._stages(outcomes, answer.timing)
        part = self._slice(asked)
        part.answered += 1
        part.latency.add(now_s - asked.at_s)

    def failed(self, asked: Asked, reason: str, now_s: float) -> None:
        """A request was not answered; a timeout lasted at least as long as it was waited for."""
        if not asked.measured:
            return
        self.outcomes[asked.kind].errors[reason] += 1
        part = self._slice(asked)
        part.unanswered += 1
        if reason == "timeout":
            self.outcomes[asked.kind].latency.add(now_s - asked.at_s)
            part.latency.add(now_s - asked.at_s)

    def merge(self, other: "Tally") -> None:
        """Adds another process's."""
        self.planned += other.planned
        self.waited += other.waited
        self.processor_s += other.processor_s
        for mine, theirs in zip(self.outcomes, other.outcomes, strict=True):
            mine.merge(theirs)
        self.lateness.merge(other.lateness)
        self.waiting.merge(other.waiting)
        for at, part in other.slices.items():
            self.slices.setdefault(at, Slice()).merge(part)

    def _slice(self, asked: Asked) -> Slice:
        at = int((asked.at_s - self.measured_from_s) / self.slice_s)
        found = self.slices.get(at)
        if found is None:
            found = self.slices[at] = Slice()
        return found

    def _stages(self, outcomes: Outcomes, timing: bytes) -> None:
        for part in timing.split(b","):
            name, _, milliseconds = part.partition(b";dur=")
            stage = name.strip().decode("ascii", "replace")
            durations = outcomes.stages.get(stage)
            if durations is None:
                durations = outcomes.stages[stage] = Durations()
            try:
                durations.add(float(milliseconds) / 1000)
            except ValueError:  # a metric without a duration
                continue


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them added up."""
    whole = Tally()
    for one in tallies:
        whole.merge(one)
    return whole
