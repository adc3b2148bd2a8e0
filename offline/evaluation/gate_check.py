"""One check of the quality gate, as the report of a version keeps it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["passed", "refused", "skipped"]


class GateCheck(BaseModel):
    """What the gate looked at, what it found, and what follows."""

    model_config = ConfigDict(frozen=True)

    name: str
    verdict: Verdict
    """skipped: there was nothing to judge by, which the sentence says"""
    value: float | None = None
    threshold: float | None = None
    """the value beyond which a version is refused; None if there is no single one"""
    sentence: str
    """what was found, in words"""

    @classmethod
    def judged(cls, name: str, *, refused: bool, value: float, threshold: float, sentence: str) -> "GateCheck":
        """A check with a verdict, its figures rounded."""
        verdict: Verdict = "refused" if refused else "passed"
        return cls(name=name, verdict=verdict, value=round(value, 6), threshold=round(threshold, 6), sentence=sentence)

    @classmethod
    def skipped(cls, name: str, sentence: str) -> "GateCheck":
        """A check that had nothing to judge by."""
        return cls(name=name, verdict="skipped", sentence=sentence)
