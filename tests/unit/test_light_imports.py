"""What the service imports of the models loads nothing heavy."""

import subprocess
import sys

HEAVY = ("torch", "torch_geometric", "scipy.sparse", "sklearn", "faiss", "polars", "pyspark")
LIGHT = (
    "models.block",
    "models.blocks",
    "models.features.names",
    "models.features.pair",
    "models.graph",
    "models.live.archive",
    "models.live.changes",
    "models.live.mending",
    "models.live.writing",
    "models.scoring",
    "models.sources",
    "models.tables",
    "models.vocabulary",
)


def test_scoring_and_what_it_reads_load_no_frameworks() -> None:
    asked = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout) == ("", "[]\n")
