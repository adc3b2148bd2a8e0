"""Generates candidates in a version: for its users, for users whose friends changed, and for new users."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.candidate_refresh.contact_candidates import informative, known_by, with_contacts
from models.candidate_refresh.refresher import LoadedVersion
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.candidates.out_of_graph_user import OutOfGraphUser
from models.candidates.user_builder import OutOfGraphUserBuilder
from models.features.user_statistics import late_of
from models.live_state.neighbourhood import Neighbourhood, Rows
from models.ranker.product_feature import with_product
from models.schema.columns import Flag
from models.schema.vocabulary import Row
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.new_user_record import Newcomer, ProfileCodes
from models.version.tables import Tables


class VersionGenerator:
    """models.candidate_refresh.refresher.Generator of one version. For one thread at a time."""

    def __init__(self, candidates: CandidateGenerator, book: OutOfGraphUserBuilder, tables: Tables) -> None:
        self._candidates, self._book, self._tables = candidates, book, tables

    def block(self, row: int) -> Block:
        """The block of a row, from the version's tables alone."""
        return self._candidates.block(Row(row))

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        """The block of a row with another neighbourhood and, unless None, another profile than in the tables."""
        return self._with_contacts(around, lambda friends: self._existing(row, friends, around.known, profile))[0]

    def _existing(self, row: int, friends: Rows, known: Rows, profile: Mapping[str, Any] | None) -> OutOfGraphUser:
        user = self._book.existing_user(Row(row), friends, known)
        if profile is None:
            return user
        current = self._book.new_user(profile, friends, known)
        return replace(
            user, codes=current.codes, set_codes=current.set_codes, points=current.points, values=current.values
        )

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        """The record of a user whom the tables do not have.

        With candidates whom contacts know, the statistics are those of a user who has the contacts as friends: without,
        the ranker would read people with mutual connections as those of somebody without friends.
        """
        block, user, ranked_as = self._with_contacts(
            around, lambda friends: self._book.new_user(profile, friends, around.known)
        )
        return Newcomer(
            timestamp_us=timestamp_us,
            statistics=self._book.statistics(ranked_as),
            query=user.query,
            codes=ProfileCodes.of(profile, self._tables),
            friends=around.friends,
            block=block,
        )

    def _with_contacts(
        self, around: Neighbourhood, user_of: Callable[[Rows], OutOfGraphUser]
    ) -> tuple[Block, OutOfGraphUser, OutOfGraphUser]:
        """The block of a user, who is built with some friends, and with those whom the contacts know; the user, and the
        one whom the block is ranked for, who with such candidates has the contacts as friends.

        With candidates whom contacts know it has all pair features: the product of the towers, which no block else has,
        is with the query of friends and contacts for these, and for everybody else with that of friends alone.
        """
        user = user_of(around.friends)
        block = self._candidates.out_of_graph_block(user)
        contacts = informative(self._tables.graph, around.contacts)
        known = known_by(self._tables.graph, contacts)
        if not len(known):
            return block, user, user
        friends = np.union1d(around.friends, contacts).astype(np.int32)
        befriended, towers = user_of(friends), self._tables.towers
        as_friends = with_product(towers, self._candidates.out_of_graph_block(befriended), befriended.query)
        if not np.isin(as_friends.rows, known).any():
            return block, user, user
        block = with_contacts(with_product(towers, block, user.query), as_friends, known, self._candidates.kept)
        return block, user, befriended


def open_generator(directory: Path) -> VersionGenerator:
    """The generator of a version directory. Imports the numeric libraries that the service does without.

    Generates one block of each kind at once, so that the kernels are compiled before the first request for one.
    Raises ArtefactError if a file is missing or altered.
    """
    tables = Tables.open(directory / "tables")
    shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
    candidate_inputs = CandidateInputs.open(
        directory / "candidates",
        tables.graph,
        tables.forbidden,
        (tables.flags & shown) == shown,
        tables.towers,
        late_of(tables.statistics),
    )
    generator = VersionGenerator(
        CandidateGenerator.open(directory), OutOfGraphUserBuilder.open(directory, tables, candidate_inputs), tables
    )
    if tables.n:
        generator.block(0)
        around = Neighbourhood(tables.graph.neighbours(0), tables.forbidden.neighbours(0))
        generator.overlay(0, around, None)
        generator.newcomer(around, {}, 0)
    return generator


def load_version(directory: Path) -> LoadedVersion:
    """A version directory with its generator."""
    return LoadedVersion(Manifest.read(directory), Tables.open(directory / "tables"), open_generator(directory))
