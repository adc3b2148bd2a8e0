"""No request waits for a compiler: whatever way a list comes about, the rehearsal at a version's opening went it."""

import subprocess
import sys
from typing import Any

EVERY_WAY = """
import gc, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from numba.core.dispatcher import Dispatcher
from models.block import Block
from models.blocks import Blocks
from models.columns import Flag
from models.events import EventKind
from models.live.hidden import FlagChange, HiddenSet
from models.live.newcomer import Newcomer, ProfileCodes
from models.live.record import LiveRecord
from models.live.ties import Direction
from models.scoring import Ranker, ViewerInputs
from models.tables import Tables
from service import lists
from service.live_view import resolved
from service.query import Query
from service.ranked_list import KeptList
from service.ranking import Ranking, Trace, Viewer
from service.rehearsal import rehearse
from service.soft_rules import Diversity, Fatigue, SoftSettings

directory = Path(sys.argv[1])
tables = Tables.open(directory / "tables")
ranking = Ranking(tables, Ranker.open(directory / "model"), SoftSettings(Diversity("company", 1), Fatigue(0.5, 2)))
version = SimpleNamespace(version="v", ranking=ranking, tables=tables)

def compiled():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.signatures]
    return {one.py_func.__module__ + "." + one.py_func.__name__: len(one.signatures) for one in found}

rehearse(ranking)
before = compiled()
assert any(name.startswith("service.kernels") for name in before)

def every_way(viewer, record):
    for limit in (1, 20, 100):
        for excluded in ((), (tables.vocabulary.user_id(5),)):
            query = Query(viewer.user_id, limit, "web", excluded)
            lists.ranked(query, version, viewer, Block.unpack(record), Trace(), kept=False)
            _, made = lists.ranked(query, version, viewer, Block.unpack(record), Trace())
            lists.cold(query, version, viewer, Trace())
            if viewer.row is not None:
                kept = KeptList.unpack(made.pack(50), viewer.row)
                lists.kept(query, version, viewer, kept, Trace())
                lists.stale(query, version, viewer, version, viewer, Block.unpack(record), Trace())

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
    view = resolved(LiveRecord.unpack(live.pack()), tables, row, cut=0, refused_after=0)
    assert len(view.others) and len(view.shown)
    every_way(Viewer(user_id, row, view), block)
    codes = ProfileCodes(tables.categorical_codes[row], tables.multi_codes[:2])
    made = Newcomer(1, tables.statistics[row], tables.tower_inputs[row], codes, view.friends, Block.unpack(block))
    met = Newcomer.unpack(made.pack())
    inputs = ViewerInputs(met.statistics, met.tower_inputs)
    every_way(Viewer("new", None, view, True, met.codes, inputs), met.block.pack())
    every_way(Viewer("stranger", None), block)
    hidden = HiddenSet()
    hidden.take([("1-1", FlagChange(candidates[5], 20, {Flag.DISCOVERABLE: False}).encode(1))])
    ranking.now.hide(hidden, [candidates[5]], 0)
print({name: count for name, count in compiled().items() if before.get(name) != count})
"""


def test_nothing_is_left_to_compile(world: Any) -> None:
    code = [sys.executable, "-c", EVERY_WAY, str(world.directory)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["{}"]), done.stderr
