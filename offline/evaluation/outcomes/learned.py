"""What a night learned from outcomes, as its report keeps it."""

from pydantic import BaseModel, ConfigDict

from offline.evaluation.bootstrap import Interval


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


class LearnedOutcomes(BaseModel):
    """What came of looking at the outcomes."""

    model_config = ConfigDict(frozen=True)

    learned: bool
    """whether the score reads heads of outcomes; False: links alone"""

    said: str
    """in words: from how many, or why not"""

    shown: int = 0
    """people shown that were read"""

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
