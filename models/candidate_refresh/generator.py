"""Opens what makes candidates in a version: for its people, for those whose friends changed, and for newcomers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.candidate_refresh.refresher import Edition
from models.candidates.generator import CandidateMaker
from models.candidates.inputs import Landscape
from models.candidates.user_builder import GuestBook
from models.live_state.neighbourhood import Circle
from models.schema.columns import Flag
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.new_user_record import Newcomer, ProfileCodes
from models.version.tables import Tables


class VersionMaker:
    """models.candidate_refresh.refresher.Maker of one version. One thread at a time."""

    def __init__(self, candidates: CandidateMaker, book: GuestBook, tables: Tables) -> None:
        self._candidates, self._book, self._tables = candidates, book, tables

    def block(self, row: int) -> Block:
        """The block of a row as the version's tables know the person."""
        return self._candidates.block(row)

    def overlay(self, row: int, around: Circle, profile: Mapping[str, Any] | None) -> Block:
        """The block of a row with another circle and, unless None, another profile than the tables have."""
        guest = self._book.member(row, around.friends, around.known)
        if profile is not None:
            said, _ = self._book.newcomer(profile, around.friends, around.known)
            guest = replace(guest, codes=said.codes, set_codes=said.set_codes, points=said.points, values=said.values)
        return self._candidates.guest_block(guest)

    def newcomer(self, around: Circle, profile: Mapping[str, Any], stamp: int) -> Newcomer:
        """The record of a person whom the tables do not know."""
        guest, inputs = self._book.newcomer(profile, around.friends, around.known)
        return Newcomer(
            stamp=stamp,
            statistics=inputs.statistics,
            tower_inputs=inputs.tower_inputs,
            codes=ProfileCodes.of(profile, self._tables),
            friends=around.friends,
            block=self._candidates.guest_block(guest),
        )


def open_maker(directory: Path) -> VersionMaker:
    """The maker of a version directory. Loads the numeric libraries that the service does without.

    Makes one block of each kind in advance, so that what is compiled on first use is compiled before anybody waits for
    it. Raises ArtefactError where a file is missing or altered.
    """
    tables = Tables.open(directory / "tables")
    shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
    landscape = Landscape.open(
        directory / "candidates", tables.graph, tables.forbidden, (tables.flags & shown) == shown
    )
    maker = VersionMaker(CandidateMaker.open(directory), GuestBook.open(directory, tables, landscape), tables)
    if tables.n:
        maker.block(0)
        around = Circle(tables.graph.neighbours(0), tables.forbidden.neighbours(0))
        maker.overlay(0, around, None)
        maker.newcomer(around, {}, 0)
    return maker


def open_edition(directory: Path) -> Edition:
    """A version directory with its maker."""
    return Edition(Manifest.read(directory), Tables.open(directory / "tables"), open_maker(directory))
