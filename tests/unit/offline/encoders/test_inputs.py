"""What encoders read of a graph: edges, their attributes, keys and profile targets."""

import numpy as np
import torch

from models.graph import Graph
from models.networks.neighbours import edges_of
from models.schema.profiles import (
    CategoricalColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
)
from models.schema.vocabulary import Vocabulary
from offline.encoders.inputs import (
    LONGEST,
    WEEK,
    ProfileTargets,
    edge_attributes,
    user_keys,
)
from offline.features.temporal_graph import Friendships
from offline.snapshot.snapshot import UNDATED, Interactions

NOW = 1_000 * WEEK
PATH = Graph.from_pairs(4, [0, 1], [1, 2])


def done(*events: tuple[int, int, int]) -> Interactions:
    user, other, at = (
        (np.array(column, np.int64) for column in zip(*events, strict=True)) if events else [np.zeros(0)] * 3
    )
    return Interactions(
        user.astype(np.int32), other.astype(np.int32), np.ones(len(user), np.uint8), at.astype(np.int64)
    )


def test_edges_run_from_neighbour_to_person_sorted_by_person() -> None:
    assert edges_of(PATH).tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]


def test_attributes_are_age_and_what_was_done_either_way() -> None:
    friendships = Friendships(PATH, np.array([NOW - 3 * WEEK, UNDATED]))
    attributes = edge_attributes(friendships, done((0, 1, NOW - 5), (0, 1, NOW - 4), (2, 1, NOW), (3, 0, NOW - 9)), NOW)
    assert attributes is not None
    three, old = np.log1p(3), np.log1p(LONGEST)
    twice = np.log1p(2)
    # 1 → 0, 0 → 1, 2 → 1, 1 → 2; what 2 did at the moment itself is not seen
    wanted = [[three, 1, 0, twice], [three, 1, twice, 0], [old, 0, 0, 0], [old, 0, 0, 0]]
    assert torch.allclose(attributes, torch.tensor(wanted, dtype=torch.float32))


def test_without_dates_and_deeds_there_are_no_attributes() -> None:
    assert edge_attributes(Friendships(PATH, None), done(), NOW) is None
    later = edge_attributes(Friendships(PATH, None), done((0, 1, NOW)), NOW)
    assert later is not None  # as wide at one moment as at another
    assert (later[:, 1:] == 0).all()


def test_a_key_is_the_ids_alone() -> None:
    first, second = (
        user_keys(Vocabulary.from_ids(["ann", "bob", "cid"])),
        user_keys(Vocabulary.from_ids(["bob", "zoe"])),
    )
    assert first[1] == second[0]
    assert (first >= 0).all()
    assert len({*first, *second}) == 4


def test_sets_and_categories_are_targets_numbers_are_not() -> None:
    profiles = Profiles(
        3,
        {
            "city": CategoricalColumn(np.array([1, -1, 1], np.int32), ["Aix", "Bonn"]),
            "clubs": MultiColumn(np.array([0, 2, 2, 3]), np.array([0, 2, 2], np.int32), ["a", "b", "c"]),
            "age": NumericColumn(np.array([1.0, 2.0, 3.0])),
            "same": CategoricalColumn(np.zeros(3, np.int32), ["x"]),
        },
    )
    targets = ProfileTargets.of(profiles)
    assert [(one.column, one.kind, one.values) for one in targets.targets] == [
        ("city", "one", 2),
        ("clubs", "several", 3),
    ]
    assert targets.labels[0].tolist() == [0, -1, 0]
    assert targets.labels[1].tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
