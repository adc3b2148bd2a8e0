"""A viewer whose profile changed since the night, in columns of 50 and of 500,000 values: both take the same."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.graph import Graph
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from models.schema.vocabulary import UserId, Vocabulary
from models.version.candidate_block import Block, quantise
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables, write_tables
from models.version.towers import Towers
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.query import Query
from tests.support.api import FirstFeature

SIZES = (50, 500_000)
USERS = 20_000
VIEWER = 5

pytestmark = pytest.mark.benchmark(group="profile values", warmup=True, min_rounds=200)


@pytest.fixture(scope="module", params=SIZES)
def values(request: Any) -> list[str]:
    return [f"value {number:06d}" for number in range(request.param)]


@pytest.fixture(scope="module")
def ranking(values: list[str], tmp_path_factory: pytest.TempPathFactory) -> Ranking:
    """The ranking of a version with a categorical and a multi-valued column of these values, read from its files."""
    directory: Path = tmp_path_factory.mktemp("values")
    codes = (np.arange(USERS) % len(values)).astype(np.int32)
    pairs = np.arange(USERS - 1)
    graph = Graph.from_pairs(USERS, pairs, pairs + 1)
    write_tables(
        directory,
        vocabulary=Vocabulary.from_ids(f"u{number:05d}" for number in range(USERS)),
        graph=graph,
        forbidden=Graph.from_directed(USERS, [], []),
        flags=np.full(USERS, 7, np.uint8),
        profiles=Profiles(
            USERS,
            {
                "company": CategoricalColumn(codes, values),
                "skills": MultiColumn(np.arange(USERS + 1, dtype=np.int64), codes, values),
            },
        ),
        profile_json=(b"", np.zeros(USERS + 1, np.int64)),
        reason_columns=["company", "skills"],
        towers=Towers.none(USERS),
        statistics=np.zeros((USERS, 1)),
        statistic_names=["log_degree"],
    )
    return Ranking(Tables.open(directory), FirstFeature(), RerankSettings(Diversity("company", 5)))


@pytest.fixture(scope="module")
def block() -> Block:
    shown = np.random.default_rng(0).random((2, 1000), dtype=np.float32)
    return quantise(VIEWER, np.arange(1000, 2000, dtype=np.uint32), np.full(1000, 1, np.uint8), shown)


def test_a_list_after_a_profile_change(benchmark: Any, ranking: Ranking, block: Block, values: list[str]) -> None:
    tables = ranking.tables
    version: Any = SimpleNamespace(version="v", ranking=ranking, tables=tables, arms={})
    changed = {"company": values[-1], "skills": [values[-1], values[0], "never seen"]}
    query = Query(UserId(f"u{VIEWER:05d}"), 20, "web")

    def listed() -> responses.Answer | None:
        codes = codes_of(VIEWER, tables).changed(changed, tables)
        viewer = Viewer(query.user_id, tables.vocabulary.row(query.user_id), None, True, codes)
        return responses.from_block(query, version, viewer, block, Trace(), lambda reason, error: None)

    answer = benchmark(listed)
    assert answer is not None
    assert answer.entries.count(b'"position"') == query.limit


def test_the_codes_of_a_new_profile(benchmark: Any, ranking: Ranking, values: list[str]) -> None:
    tables = ranking.tables
    codes = benchmark(lambda: ProfileCodes.of({"company": values[-1], "skills": [values[0]]}, tables))
    assert codes.categorical.tolist() == [values.index(values[-1])]
    assert [tables.multi_values[code] for code in codes.sets.tolist()] == [("skills", values[0])]
