"""`python -m offline.train`, or the same under torchrun."""

import sys

from offline.train.command import run
from offline.training.join import count_here, rank_here

sys.exit(run(sys.argv[1:], rank=rank_here(), count=count_here()))
