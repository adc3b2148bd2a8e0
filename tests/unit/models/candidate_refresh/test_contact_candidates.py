"""Candidates that follow from contacts: who is added, with which features, and who stays as before."""

import numpy as np
import pytest

from models.candidate_refresh import contact_candidates
from models.candidate_refresh.contact_candidates import informative, known_by, with_contacts
from models.graph import Graph
from models.schema.candidate_sources import Source, names
from models.version.candidate_block import Block, quantise

FEATURES = 3


def graph(*pairs: tuple[int, int], n: int = 10) -> Graph:
    ends = np.array(pairs, np.int64).T
    return Graph.from_pairs(n, ends[0], ends[1])


def block(viewer: int, rows: dict[int, float], source: Source) -> Block:
    values = np.tile(np.fromiter(rows.values(), np.float32), (FEATURES, 1))
    bits = np.full(len(rows), source, np.uint8)
    return quantise(viewer, np.fromiter(rows, np.uint32, len(rows)), bits, values)


def test_two_contacts_have_to_know_somebody() -> None:
    network = graph((0, 5), (0, 6), (1, 5), (2, 6), (2, 7))
    assert known_by(network, np.array([0, 1, 2], np.int32)).tolist() == [5, 6]
    assert known_by(network, np.array([0], np.int32)).tolist() == []
    assert known_by(network, np.zeros(0, np.int32)).tolist() == []


def test_those_with_the_fewest_friends_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_candidates, "MOST_CONTACTS", 2)
    network = graph((0, 5), (0, 6), (0, 7), (1, 5), (2, 6))
    assert informative(network, np.array([0, 1, 2], np.int32)).tolist() == [1, 2]


def test_nobody_else_is_moved_or_changed() -> None:
    plain = block(3, {1: 0.0, 2: 1.0, 4: 0.5}, Source.SAME_ATTRIBUTES)
    as_friends = block(3, {5: 1.0, 2: 0.25, 8: 0.75}, Source.FRIENDS_OF_FRIENDS)
    made = with_contacts(plain, as_friends, np.array([2, 5], np.int32), most=4)
    assert made.rows.tolist() == [5, 2, 1, 4]
    found = Source.FRIENDS_OF_FRIENDS | Source.CONTACTS
    attributes = Source.SAME_ATTRIBUTES
    assert made.sources.tolist() == [found, found | attributes, attributes, attributes]
    assert np.allclose(made.values()[0], [1.0, 0.25, 0.0, 0.5], atol=0.005)
    assert with_contacts(plain, as_friends, np.array([9], np.int32), most=4) is plain
    assert with_contacts(plain, as_friends, np.array([2, 5], np.int32), most=3).rows.tolist() == [5, 2, 1]


def test_walks_from_contacts_are_not_called_walks() -> None:
    found = Source.CONTACTS | Source.RANDOM_WALK | Source.THREE_HOPS | Source.EMBEDDING
    assert names(found) == ["embedding", "contacts"]
    assert names(found ^ Source.CONTACTS) == ["random_walk", "three_hops", "embedding"]
