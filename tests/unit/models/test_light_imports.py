"""What the service imports of the models loads nothing heavy."""

import subprocess
import sys

HEAVY = ("torch", "torch_geometric", "scipy.sparse", "sklearn", "faiss", "polars", "pyspark")
LIGHT = (
    "models.version.candidate_block",
    "models.version.block_file",
    "models.schema.statistic_names",
    "models.schema.pair_features",
    "models.graph",
    "models.event_log.archive.archive",
    "models.event_log.write_profile",
    "models.event_log.log_consumer",
    "models.event_log.write_events",
    "models.ranker.ranker",
    "models.schema.candidate_sources",
    "models.version.tables",
    "models.schema.vocabulary",
)


def test_scoring_and_what_it_reads_load_no_frameworks() -> None:
    asked = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout) == ("", "[]\n")
