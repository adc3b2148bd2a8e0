"""What a night learned from outcomes, as its report keeps it."""

from pydantic import BaseModel, ConfigDict

from offline.evaluation.bootstrap import Interval

LEAST_PARITY = 0.999
"""share of pairs whose features agree"""
PARITY_ERRORS = 2.0
"""standard errors below it that count as chance: a single list may differ as a whole"""


class HeadQuality(BaseModel):
    """One head, as it predicts viewers whom it has not seen."""

    model_config = ConfigDict(frozen=True)

    outcomes: int
    """that it learned from"""

    reads: str
    """"links": the ranker's logit and the context alone; "inputs": all inputs of the ranker; "inputs by context": with
    weights of their own in each context"""

    penalty: float
    """pull of the weights towards the links alone, chosen for it"""

    gain: float
    """log-likelihood for each outcome over that of the ranker's logit and the context alone"""

    predicted: float
    """sum of its probabilities, after calibration, over those shown"""

    came: float
    """outcomes among them"""

    slope: float
    """of the calibration: below 1, what was fitted had promised too much difference"""


class LoggedParity(BaseModel):
    """How many of the people shown were scored by the features that a night finds, of lists whose version is at hand.

    Less than nearly all says that serving reads other features than the night, from which nothing is to be learned.
    """

    model_config = ConfigDict(frozen=True)

    lists: int
    """that were compared"""

    pairs: int
    """of viewer and person shown in them"""

    agreeing: int
    """pairs all of whose features have the same codes"""

    error: float
    """standard error of the share of those"""

    @property
    def share(self) -> float:
        """Of the pairs."""
        return self.agreeing / self.pairs

    @property
    def agrees(self) -> bool:
        """Whether the share is at least LEAST_PARITY, or below it by no more than chance explains."""
        return self.share + PARITY_ERRORS * self.error >= LEAST_PARITY

    @property
    def said(self) -> str:
        """In words."""
        return (
            f"{self.share:.2%} of {self.pairs:,} people shown in {self.lists:,} logged lists have the features that "
            f"the night finds ({LEAST_PARITY:.1%} are to be expected)"
        )


class LearnedOutcomes(BaseModel):
    """What came of looking at the outcomes."""

    model_config = ConfigDict(frozen=True)

    learned: bool
    """whether the score reads heads of outcomes; False: links alone"""

    said: str
    """in words: from how many, or why not"""

    shown: int = 0
    """people shown that were read"""

    viewers_read: float = 1.0
    """share of the viewers whose lists were read; below 1 they stand for all"""

    viewers: int = 0
    invited: int = 0
    accepted: int = 0
    dismissed: int = 0

    eta: float | None = None
    """the person in place p is taken to be looked at with probability p to the power of minus this"""

    examination: str = ""
    """"uniform": from lists drawn uniformly; "modelled": from all lists, beside a model of the outcome"""

    heads: dict[str, HeadQuality] = {}

    powers: dict[str, float] = {}
    """of the probabilities in the score"""

    accepted_ratio: Interval | None = None
    """accepted invitations to expect of the lists shown, in the order of the score over that of links alone, for
    viewers whom the heads have not seen (offline.evaluation.outcomes.reordered)"""

    parity: LoggedParity | None = None
    """None: no list could be compared"""
