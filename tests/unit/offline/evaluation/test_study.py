"""The whole evaluation on small graphs."""

import io

import numpy as np
import pytest
from rich.console import Console

from models.graph import Graph
from offline.evaluation import factorisation
from offline.evaluation.baselines import BASELINES, baseline_lists, baseline_scores
from offline.evaluation.rendering import render
from offline.evaluation.report import SYSTEM, Report
from offline.evaluation.study import study
from offline.evaluation.system import Ranked
from offline.features.edge_splits import hide


def communities(seed: int = 0) -> Graph:
    """Eight groups of 15 people who mostly know each other, and one isolated person."""
    random = np.random.default_rng(seed)
    a, b = np.triu_indices(120, 1)
    close = a // 15 == b // 15
    drawn = random.random(len(a)) < np.where(close, 0.6, 0.01)
    return Graph.from_pairs(121, a[drawn], b[drawn])


def all_knowing(held_out: Graph, users: np.ndarray, width: int = 30) -> Ranked:
    """Ranks held-out friends first, with probability 1, and two strangers after, with 0."""
    rows = np.full((len(users), width), -1, np.int32)
    scores = np.full((len(users), width), -np.inf, np.float32)
    for at, user in enumerate(users):
        friends = held_out.neighbours(int(user))
        strangers = np.setdiff1d(np.arange(held_out.n), np.append(friends, user))[:2]
        rows[at, : len(friends) + 2] = np.concatenate([friends, strangers])
        scores[at, : len(friends)] = 1
        scores[at, len(friends) : len(friends) + 2] = 0
    return Ranked(rows, scores)


@pytest.fixture(scope="module")
def report() -> Report:
    kept, hidden = hide(communities(), None, 0.1)
    users = np.arange(kept.n)
    return study(hidden, kept, users, all_knowing(hidden, users), resamples=100, threads=1)


def test_a_system_that_knows_the_future_gets_full_marks(report: Report) -> None:
    quality = report.methods[SYSTEM][20]
    assert quality.recall.value == quality.ndcg.value == quality.mrr.value == quality.hit.value == 1
    assert report.pool is not None
    assert report.pool.recall.value == 1
    assert report.pool.size == pytest.approx(report.held_out / report.users + 2)
    for kind in ("random", "hard"):
        assert report.negatives[kind][SYSTEM].auc > 0.99
    assert report.calibration is not None
    assert report.calibration.error == report.calibration.brier == 0
    assert report.ratio is not None
    assert report.ratio.recall.low > 1


def test_baselines_find_much_in_communities_and_strangers_they_like_are_harder(report: Report) -> None:
    assert report.methods["resource_allocation"][20].recall.value > 0.7
    assert report.methods["popularity"][20].recall.value < 0.4
    for method in ("resource_allocation", "personalised_pagerank"):
        easy, hard = (report.negatives[kind][method] for kind in ("random", "hard"))
        assert easy.auc > 0.85
        assert hard.auc < easy.auc - 0.02
        assert hard.mrr < easy.mrr - 0.1


def test_popular_people_are_shown_most_by_popularity(report: Report) -> None:
    popular = report.exposure["popularity"]
    assert all(popular.gini >= other.gini for other in report.exposure.values())
    assert all(popular.mean_degree >= other.mean_degree for other in report.exposure.values())
    assert set(report.exposure) == set(report.methods)


def test_slices_are_the_users_with_few_friends() -> None:
    kept = Graph.from_pairs(6, [0, 0, 0, 0], [1, 2, 3, 4])
    hidden = Graph.from_pairs(6, [1, 0], [2, 5])
    users = np.arange(6)
    found = study(hidden, kept, users, all_knowing(hidden, users), resamples=10, threads=1).slices
    assert (found["no friends"].users, found["1 to 3 friends"].users) == (1, 2)
    assert found["no friends"].methods[SYSTEM].recall.value == 1
    assert found["no friends"].methods["resource_allocation"].recall.value == 0
    assert found["1 to 3 friends"].methods["resource_allocation"].recall.value == 1


def test_a_missing_library_is_reported_and_affects_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factorisation, "is_installed", lambda: False)
    kept, hidden = hide(communities(), None, 0.1)
    users = np.arange(kept.n)
    found = study(hidden, kept, users, all_knowing(hidden, users), resamples=10)
    assert factorisation.ALS in found.absent
    assert set(found.methods) == {SYSTEM, *BASELINES}
    output = io.StringIO()
    render(found, Console(file=output))
    assert "als 128 was skipped: needs the package implicit" in output.getvalue()


def test_als_suggests_people_of_ones_own_community() -> None:
    pytest.importorskip("implicit")
    graph = communities()
    lists = factorisation.als_lists(graph, np.arange(121), 3, threads=1)
    own = lists[:120] // 15 == (np.arange(120) // 15)[:, None]
    assert own.mean() > 0.5  # by chance: 0.05
    assert (lists[120] == -1).all()
    assert not graph.contains(np.repeat(np.arange(120), 3), lists[:120].ravel()).any()


def test_no_user_to_evaluate_still_gives_a_report() -> None:
    nothing = Graph.from_pairs(4, [], [])
    found = study(nothing, nothing, np.arange(4), all_knowing(nothing, np.arange(4)), threads=1)
    assert found.users == 0
    assert found.pool is None


def test_scores_of_pairs_are_those_that_rank_the_lists() -> None:
    graph = communities(1)
    users = np.arange(121)
    for method, lists in baseline_lists(graph, users, 10).items():
        if method != "popularity":
            scores = baseline_scores(graph, users, lists, method)
            assert (np.diff(scores.astype(np.float32), axis=1) <= 0).all(), method
            assert ((scores > 0) == (lists >= 0)).all()


def test_scores_of_candidates_are_found_and_of_others_lowest() -> None:
    ranked = Ranked(np.array([[5, 2, -1]], np.int32), np.array([[0.9, 0.4, -np.inf]], np.float32))
    assert ranked.scores_of(np.array([[2, 3, 5, -1, 9]])).tolist() == [
        pytest.approx([0.4, -np.inf, 0.9, -np.inf, -np.inf])
    ]


def test_the_whole_report_is_rendered_and_reads_back(report: Report) -> None:
    output = io.StringIO()
    render(report, Console(file=output))
    for words in ("AUC hard", "coverage", "of the held-out friendships", "Calibration", "Times resource allocation"):
        assert words in output.getvalue()
    assert Report.model_validate_json(report.model_dump_json()) == report
