"""One check for drift, and the report of all of them."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Verdict = Literal["ok", "warn", "alarm"]
Group = Literal["columns", "meaning", "graph", "features", "embeddings", "scores", "coverage", "outcomes", "weights"]


class DriftCheck(BaseModel):
    """What was compared, how much it moved, and from where on that counts."""

    model_config = ConfigDict(frozen=True)

    name: str
    group: Group
    value: float
    threshold: float
    """from which on the verdict is alarm; of a check that only warns, warn"""
    verdict: Verdict
    sentence: str
    """what moved and by how much"""

    @classmethod
    def of(cls, name: str, group: Group, value: float, *, warn: float, alarm: float, sentence: str) -> "DriftCheck":
        """A check with the verdict that its value has between two thresholds."""
        verdict: Verdict = "alarm" if value >= alarm else "warn" if value >= warn else "ok"
        return cls(
            name=name,
            group=group,
            value=round(float(value), 6),
            threshold=round(float(alarm), 6),
            verdict=verdict,
            sentence=sentence,
        )

    @classmethod
    def warning(cls, name: str, group: Group, value: float, *, warn: float, sentence: str) -> "DriftCheck":
        """A check of what training does not cure: it never gives alarm."""
        check = cls.of(name, group, value, warn=warn, alarm=warn, sentence=sentence)
        return check if check.verdict == "ok" else check.model_copy(update={"verdict": "warn"})


class DriftReport(BaseModel):
    """How a dataset, or a version, differs from the active version."""

    model_config = ConfigDict(frozen=True)

    version: str | None
    """the active version, that it was compared with; None if nothing is published"""
    at: AwareDatetime
    retrain: bool
    """whether a check gives alarm"""
    checks: list[DriftCheck]
    note: str | None = None
    """why there are no checks, or why some are missing"""

    @property
    def alarms(self) -> list[DriftCheck]:
        """The checks that say that retraining is due."""
        return [check for check in self.checks if check.verdict == "alarm"]
