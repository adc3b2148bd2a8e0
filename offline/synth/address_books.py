"""Address books of some people of a synthetic network: most of their friends, and people who are not here."""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHARE = 0.2
"""of the people have uploaded their contacts"""
MOST = 2000
"""people with contacts in a network of any size"""
KNOWN = 0.6
"""share of the friends, those of the days to come included, whose address somebody has"""
OTHERS = 0.3
"""addresses of nobody, for each friend"""


def address_of(user_id: str) -> str:
    """The hash of a person's address, ID@example.org, as contacts.csv has it."""
    return hashlib.sha256(f"{user_id}@example.org".lower().encode()).hexdigest()


def contacts(ids: pl.Series, friendships: NDArray[np.int64], seed: int) -> pl.DataFrame:
    """The table `user_id`, `address_hash`, `own` of people numbered 0 to n-1, with (m, 2) friendships.

    Everybody who is named by an address has it as her own.
    """
    random, n = np.random.default_rng([seed, 19]), len(ids)
    uploaders = random.permutation(n)[: min(round(SHARE * n), MOST)]
    has = np.zeros(n, np.bool_)
    has[uploaders] = True
    both = np.concatenate([friendships[:, :2], friendships[:, 1::-1]])
    both = both[has[both[:, 0]]]
    both = both[random.random(len(both)) < KNOWN]
    nobody = random.choice(uploaders, round(OTHERS * len(both))) if len(uploaders) else uploaders
    own = np.unique(np.concatenate([uploaders, both[:, 1]]))
    hashes = {row: address_of(ids[row]) for row in own.tolist()}
    strangers = [address_of(f"nobody-{seed}-{number}") for number in range(len(nobody))]
    rows = np.concatenate([own, both[:, 0], nobody])
    addresses = [*(hashes[row] for row in own.tolist()), *(hashes[row] for row in both[:, 1].tolist()), *strangers]
    is_own = np.arange(len(rows)) < len(own)
    table = pl.DataFrame({"user_id": ids.gather(rows), "address_hash": addresses, "own": is_own})
    return table.unique(maintain_order=True)
