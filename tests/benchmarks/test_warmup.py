"""No request waits for a compiler: whatever way a list comes about, the warm-up at a version's opening took it."""

import subprocess
import sys
from typing import Any

EVERY_WAY = """
import gc, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from numba.core.dispatcher import Dispatcher
from models.version.candidate_block import Block
from models.version.block_file import Blocks
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.live_state.flag_change import FlagChange
from models.live_state.visibility import HiddenSet
from models.version.new_user_record import Newcomer, ProfileCodes
from models.live_state.user_record import LiveRecord
from models.live_state.edges import Direction
from models.ranker.ranker import Ranker, ViewerInputs
from models.version.tables import Tables
from service.recommend import responses
from service.ranking.viewer_state import from_record
from service.recommend.query import Query
from service.ranking.pipeline import Ranking
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.state.warmup import warm_up
from service.ranking.rerank import Diversity, Fatigue, RerankSettings

directory = Path(sys.argv[1])
tables = Tables.open(directory / "tables")
ranking = Ranking(tables, Ranker.open(directory / "model"), RerankSettings(Diversity("company", 1), Fatigue(0.5, 2)))
version = SimpleNamespace(version="v", ranking=ranking, tables=tables, arms={})

def compiled():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.signatures]
    return {one.py_func.__module__ + "." + one.py_func.__name__: len(one.signatures) for one in found}

warm_up(ranking)
before = compiled()
assert any(name.startswith("service.ranking.kernels") for name in before)

def every_way(viewer, record):
    for limit in (1, 20, 100):
        for excluded in ((), (tables.vocabulary.user_id(5),)):
            query = Query(viewer.user_id, limit, "web", excluded)
            block = Block.unpack(record)
            responses.from_block(query, version, viewer, block, Trace(), None)
            made = responses.from_block(query, version, viewer, block, Trace(), None, cacheable=True).cacheable
            responses.from_cold_start(query, version, viewer, Trace())
            if viewer.row is not None:
                responses.from_cache(query, version, viewer, viewer.row, made.pack(50), Trace(), None)
                responses.from_previous_version(query, version, viewer, version, viewer, block, Trace(), None)

blocks = Blocks.open(directory / "blocks", tables.n)
row = int(blocks.rows()[0])
block, user_id = blocks.record(row), tables.vocabulary.user_id(row)
candidates = [tables.vocabulary.user_id(one) for one in Block.unpack(block).rows[:6].tolist()]
for turn in range(2):
    every_way(Viewer(user_id, row), block)
    live = LiveRecord()
    for at, kind in enumerate((EventKind.DISMISS, EventKind.CONNECT, EventKind.BLOCK, EventKind.INVITE)):
        live.apply(candidates[at], Direction.OUT, kind, at + 1)
    live.show(candidates[4], 10)
    view = from_record(LiveRecord.unpack(live.pack()), tables, row, cut=0, refused_after=0)
    assert len(view.others) and len(view.shown)
    every_way(Viewer(user_id, row, view), block)
    codes = ProfileCodes(tables.categorical_codes[row], tables.multi_codes[:2])
    made = Newcomer(1, tables.statistics[row], tables.towers.query(row), codes, view.friends, Block.unpack(block))
    met = Newcomer.unpack(made.pack())
    inputs = ViewerInputs(met.statistics, met.query)
    every_way(Viewer("new", None, view, True, met.codes, inputs), met.block.pack())
    every_way(Viewer("stranger", None), block)
    hidden = HiddenSet()
    change = FlagChange(candidates[5], 20, {Flag.DISCOVERABLE: False})
    hidden.take([("1-1", b'{"epoch":1,' + change.encode()[1:])])
    ranking.user_flags.hide(hidden, [candidates[5]], 0, 1)
print({name: count for name, count in compiled().items() if before.get(name) != count})
"""


def test_nothing_is_left_to_compile(world: Any) -> None:
    code = [sys.executable, "-c", EVERY_WAY, str(world.directory)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["{}"]), done.stderr
