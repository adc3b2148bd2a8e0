"""Which lists of the exposure log are missing, told by the numbers that every process gives its lists.

What was counted is kept in the store beside the position up to which lists are filed, so that a gap is seen even if the
worker that read what came before it is gone. A process that is killed has nothing follow its last batch: what it still
held then is in no gap.
"""

from pydantic import BaseModel, ValidationError

from models.outcomes.exposure_record import Batch
from models.store.protocol import STREAM_START

MOST_PROCESSES = 1000
"""processes that are known; of those not heard from for longest the numbers are forgotten"""


class ExposureGaps(BaseModel):
    """How many lists each process had recorded, as of a position in the exposure log."""

    position: str = STREAM_START
    """up to which batches were followed"""
    recorded: dict[int, int] = {}
    """by process, the latest last"""
    whole: bool = False
    """whether every process is among these, so that one that is not began with its list 0"""

    @classmethod
    def of(cls, record: bytes | None, filed: str) -> "ExposureGaps":
        """What a record says; without a readable one, nothing is known of what was filed up to a position."""
        try:
            if record is not None:
                return cls.model_validate_json(record)
        except ValidationError:  # nothing but a count rests on it
            pass
        return cls(position=filed, whole=filed == STREAM_START)

    def follow(self, position: str, batch: Batch | None) -> int:
        """Goes on to the batch at a position, None for one that cannot be read; returns how many lists are missing
        before it.
        """
        self.position = position
        if batch is None:
            return 0
        known = self.recorded.pop(batch.process, 0 if self.whole else batch.before)
        self.recorded[batch.process] = batch.before + len(batch.records)
        if len(self.recorded) > MOST_PROCESSES:
            self.recorded.pop(next(iter(self.recorded)))
            self.whole = False
        return max(batch.before - known, 0)

    def pack(self) -> bytes:
        """The record."""
        return self.model_dump_json().encode()
