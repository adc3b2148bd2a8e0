"""Candidates that follow from a user's contacts: people whom several of them know.

A contact is no friend: whoever uploads one address would see that person's friends come up. So a person is added only
if at least LEAST_KNOWING of the contacts know her, and nobody else's features follow from the contacts.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.schema.candidate_sources import Source
from models.version.candidate_block import Block, quantise

LEAST_KNOWING = 2
"""contacts who must know a person"""
MOST_CONTACTS = 2000
"""contacts that are looked at, those with the fewest friends first, who tell most"""


def informative(graph: Graph, contacts: NDArray[np.int32]) -> NDArray[np.int32]:
    """At most MOST_CONTACTS of some contacts, ascending."""
    if len(contacts) <= MOST_CONTACTS:
        return contacts
    fewest = np.argsort(graph.degrees[contacts], kind="stable")[:MOST_CONTACTS]
    return np.sort(contacts[fewest])


def known_by(graph: Graph, contacts: NDArray[np.int32]) -> NDArray[np.int32]:
    """The rows, ascending, of those who are friends with at least LEAST_KNOWING of the contacts."""
    if len(contacts) < LEAST_KNOWING:
        return np.zeros(0, np.int32)
    near = np.concatenate([graph.neighbours(one) for one in contacts.tolist()])
    rows, times = np.unique(near, return_counts=True)
    return rows[times >= LEAST_KNOWING].astype(np.int32)


def with_contacts(block: Block, as_friends: Block, known: NDArray[np.int32], most: int) -> Block:
    """A block with the people whom contacts know at its head, with the features that they have in `as_friends`.

    `as_friends` is the block of the same user with the contacts as friends, with the same features; `known` are rows,
    ascending. At most `most` candidates stay.
    """
    chosen = np.flatnonzero(np.isin(as_friends.rows, known))
    if not len(chosen):
        return block
    rows = as_friends.rows[chosen]
    stays = np.flatnonzero(~np.isin(block.rows, rows))[: most - len(chosen)]
    found = as_friends.sources[chosen] | np.uint8(Source.CONTACTS)
    _, mine, others = np.intersect1d(rows, block.rows, assume_unique=True, return_indices=True)
    found[mine] |= block.sources[others]
    values = np.concatenate([as_friends.values()[:, chosen], block.values()[:, stays]], axis=1)
    made = quantise(
        block.viewer,
        np.concatenate([rows, block.rows[stays]]),
        np.concatenate([found, block.sources[stays]]),
        values,
    )
    return replace(made, made_at=block.made_at)
