"""Imports through the command line, and what they made."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from models.cli.app import run


@dataclass(frozen=True)
class Imported:
    """What one import printed and wrote."""

    out: Path
    status: int
    printed: str
    refusal: str
    """the last line of stderr"""

    @property
    def pairs(self) -> set[frozenset[str]]:
        """The friendships."""
        return {frozenset(pair) for pair in self.connections.select("user_id", "other_id").iter_rows()}

    @property
    def connections(self) -> pl.DataFrame:
        """The friendships; dates as epoch seconds."""
        return _in_seconds(pl.read_parquet(self.out / "connections.parquet"))

    @property
    def users(self) -> pl.DataFrame:
        """The users by id; dates as epoch seconds."""
        return _in_seconds(pl.read_parquet(self.out / "users.parquet")).sort("user_id")

    @property
    def interactions(self) -> list[tuple[object, ...]]:
        """The rows of the interactions; dates as epoch seconds."""
        return _in_seconds(pl.read_parquet(self.out / "interactions.parquet")).rows()

    @property
    def dates(self) -> dict[frozenset[str], int | None]:
        """The epoch seconds of each friendship."""
        return {frozenset((first, second)): at for first, second, at in self.connections.iter_rows()}

    def profile(self, user_id: str) -> dict[str, object]:
        """The filled cells of somebody's profile."""
        row = self.users.filter(pl.col("user_id") == user_id).row(0, named=True)
        return {column: cell for column, cell in row.items() if cell is not None and column != "user_id"}


def _in_seconds(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.selectors.datetime().dt.epoch("s"))


def run_import(
    capsys: pytest.CaptureFixture[str], out: Path, language: str, source: Path | str, *flags: str
) -> Imported:
    """Runs `pymk import` in this process."""
    capsys.readouterr()
    status = run(["import", language, str(source), "--out", str(out), *flags])
    said = capsys.readouterr()
    return Imported(out, status, said.out, said.err.strip().rpartition("\n")[2])


def pairs(*friendships: str) -> set[frozenset[str]]:
    """Friendships as `a-b`."""
    return {frozenset(one.split("-")) for one in friendships}
