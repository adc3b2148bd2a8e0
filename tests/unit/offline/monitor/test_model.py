"""Embeddings that were turned, moved, spread or shuffled, and lists of other scores and sources."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from models.schema.candidate_sources import Source
from models.schema.vocabulary import Vocabulary
from models.version.candidate_block import Block, quantise
from offline.monitor.model import Embedded, compare_embeddings, compare_lists, model_reference

N, D = 400, 8
PEOPLE = Vocabulary.from_ids(f"p{number:03}" for number in range(N))


def embeddings(seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(12, D))
    points = centres[np.arange(N) % 12] + 0.2 * random.normal(size=(N, D)) + 1
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def verdicts(now: np.ndarray, vocabulary: Vocabulary = PEOPLE) -> dict[str, str]:
    checks = compare_embeddings(Embedded(PEOPLE, embeddings()), Embedded(vocabulary, now.astype(np.float32)))
    return {check.name: check.verdict for check in checks}


def test_a_space_that_was_turned_is_the_same_space() -> None:
    turned = embeddings() @ ortho_group.rvs(D, random_state=1)
    assert set(verdicts(turned).values()) == {"ok"}
    noisy = turned + 0.05 * np.random.default_rng(1).normal(size=turned.shape)
    assert "alarm" not in verdicts(noisy).values()


def test_shuffled_embeddings_have_other_neighbours() -> None:
    shuffled = np.random.default_rng(2).permutation(embeddings())
    assert verdicts(shuffled)["embedding_neighbours"] == "alarm"


def test_collapsed_embeddings_have_lost_their_spread() -> None:
    centre = embeddings().mean(axis=0)
    assert verdicts(centre + 0.1 * (embeddings() - centre))["embedding_spread"] == "alarm"


def test_people_are_compared_by_id_and_too_few_not_at_all() -> None:
    left = Vocabulary.from_ids(PEOPLE.user_id(row) for row in range(100, N))
    assert set(verdicts(embeddings()[100:], left).values()) == {"ok"}
    few = Vocabulary.from_ids(PEOPLE.user_id(row) for row in range(20))
    assert not verdicts(embeddings()[:20], few)
    assert not verdicts(embeddings()[:, :4])


def blocks(source: int = 1, count: int = 40) -> list[Block]:
    rows, bits = np.arange(count, dtype=np.uint32), np.full(count, source, np.uint8)
    return [quantise(row, rows, bits, np.ones((2, count), np.float32)) for row in range(100)]


@pytest.mark.parametrize(
    ("source", "count", "score", "served", "expected"),
    [
        (1, 40, 0.1, 1.0, set()),
        (1, 40, 0.4, 1.0, {"scores"}),
        (int(Source.POPULAR), 40, 0.1, 1.0, {"source_friends_of_friends", "source_popular"}),
        (1, 20, 0.1, 1.0, {"candidates"}),
        (1, 40, 0.1, 0.5, {"served"}),
    ],
    ids=["the same", "scores", "sources", "candidates", "served"],
)
def test_lists_that_changed_are_named(source: int, count: int, score: float, served: float, expected: set[str]) -> None:
    then = model_reference(blocks(), lambda block: np.linspace(0.1, 0, 40, dtype=np.float32)[: len(block)], 1.0)
    scores = np.linspace(score, 0, 40, dtype=np.float32)
    now = model_reference(blocks(source, count), lambda block: scores[: len(block)], served)
    assert {check.name for check in compare_lists(then, now) if check.verdict == "alarm"} == expected
