"""After `pymk warm`, neither the service nor the worker compiles anything when it opens a version."""

import json
import os
import subprocess
import sys
from pathlib import Path

OPEN = """
import gc, json, sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from models.candidate_refresh.generator import load_version
from models.ranker.ranker import Ranker
from models.version.tables import Tables
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.state.warmup import warm_up

(directory,) = (Path(sys.argv[1]) / "versions").glob("2*")
tables, rules = Tables.open(directory / "tables"), RerankSettings(Diversity("company", 5))
ranking = Ranking(tables, Ranker.open(directory / "model"), rules)
warm_up(ranking)
load_version(directory)
kernels = [
    one
    for one in gc.get_objects()
    if isinstance(one, Dispatcher) and one.signatures and one.py_func.__module__.startswith(("models.", "service."))
]
print(json.dumps({
    "run": len(kernels),
    "compiled": sorted(one.py_func.__name__ for one in kernels if sum(one.stats.cache_misses.values())),
}))
"""


def test_nothing_is_compiled_after_it(prepared: Path, tmp_path: Path) -> None:
    home = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    kept = tmp_path / "kernels"  # empty, so that whatever is not compiled by the command is compiled below
    environment = {**home, "PYMK_HOME": str(tmp_path / "untouched"), "NUMBA_CACHE_DIR": str(kept)}
    warmed = subprocess.run(
        [sys.executable, "-m", "models.cli", "warm"], env=environment, capture_output=True, text=True, check=False
    )
    assert warmed.returncode == 0, warmed.stderr
    assert warmed.stdout.startswith("kernels compiled in ")
    assert warmed.stdout.endswith(f" seconds; kept in {kept}\n")
    assert not (tmp_path / "untouched").exists()
    opened = subprocess.run(
        [sys.executable, "-c", OPEN, str(prepared)], env=environment, capture_output=True, text=True, check=False
    )
    assert opened.returncode == 0, opened.stderr
    found = json.loads(opened.stdout.splitlines()[-1])
    assert found["run"] > 10
    assert found["compiled"] == []
