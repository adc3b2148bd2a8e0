"""How much of the exposure log a night reads: all of it, or the lists of as many viewers as fit."""

from pathlib import Path

import structlog

from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.viewer_sample import ViewerSample
from models.system import memory_budget

_BYTES_OF_ROW = 1500
"""memory for each person shown, while what came of it is joined"""

log = structlog.get_logger(__name__)


def viewers_read(home: Path, since: int, most_rows: int) -> ViewerSample:
    """The viewers whose lists since a time (microseconds) are about `most_rows` people shown, or what fits into the
    memory that a night may take (pymk nightly --memory).
    """
    rows = ExposureFiles(home).rows_since(since)
    sample = ViewerSample.of_rows(rows, memory_budget.within(most_rows, _BYTES_OF_ROW))
    if sample.share < 1:
        log.info("viewers_sampled", shown=rows, share=round(sample.share, 4))
    return sample
