"""Writes a synthetic network as a dataset directory: users, connections, interactions, schema.toml and held_out.csv.

If the network has fakes, fakes.csv lists them, for measurement only: no night reads it.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.schema.event_kinds import EventKind
from models.system import disk, files
from offline.synth import address_books, people
from offline.synth.arguments import (
    CONNECTIONS,
    CONTACTS,
    FAKES,
    HELD_OUT,
    INTERACTIONS,
    MADE_BY,
    SCHEMA,
    USERS,
    check_target,
)
from offline.synth.calendar import CUT
from offline.synth.fakes import Fake
from offline.synth.network import Network, Progress, quiet


def write(network: Network, out: Path, origin: str = "", progress: Progress = quiet) -> None:
    """Writes a network to `out`, which must pass `check_target`: all of it or nothing.

    schema.toml states `origin`, the arguments. Partial output of killed runs beside `out` is removed.
    """
    target = check_target(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    files.remove_abandoned(target, ".partial")
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        aside.mkdir()
        with disk.room(target):
            _write_files(network, aside, origin, progress)
        files.put_in_place(aside, target)
    except BaseException:
        files.remove_tree(aside)
        raise
    files.remove_abandoned(target, ".old")
    progress("writing", 1.0)


def _write_files(network: Network, directory: Path, origin: str, progress: Progress) -> None:
    ids = network.users["user_id"]
    progress("writing", 0.0)
    network.users.write_csv(directory / USERS)
    progress("writing", 0.2)
    for name, friendships in ((CONNECTIONS, network.connections), (HELD_OUT, network.held_out)):
        _pairs(ids, friendships[:, 0], friendships[:, 1]).with_columns(
            _iso_timestamps("created_at", friendships[:, 2])
        ).write_csv(directory / name)
    progress("writing", 0.5)
    log = network.interactions
    words = pl.Series([kind.word for kind in EventKind])
    _pairs(ids, log.viewer, log.other).with_columns(
        words.gather(log.kind).alias("kind"), _iso_timestamps("at", log.at)
    ).write_csv(directory / INTERACTIONS)
    planted = np.flatnonzero(network.fakes)
    if len(planted):
        kinds = pl.Series([kind.word for kind in Fake]).gather(network.fakes[planted])
        pl.DataFrame({"user_id": ids.gather(planted), "kind": kinds}).write_csv(directory / FAKES)
    every = np.concatenate([network.connections[:, :2], network.held_out[:, :2]])
    address_books.contacts(ids, every, len(ids)).write_csv(directory / CONTACTS)
    (directory / SCHEMA).write_text(_schema(origin), encoding="utf-8")


def _pairs(ids: pl.Series, first: NDArray[np.integer], second: NDArray[np.integer]) -> pl.DataFrame:
    return pl.DataFrame({"user_id": ids.gather(first), "other_id": ids.gather(second)})


def _iso_timestamps(column: str, seconds: NDArray[np.int64]) -> pl.Series:
    """ISO 8601 in UTC."""
    return pl.from_epoch(pl.Series(column, seconds)).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _schema(origin: str) -> str:
    lines = [
        f"{MADE_BY} {origin}".rstrip(),
        f'as_of = "{datetime.fromtimestamp(CUT, UTC):%Y-%m-%dT%H:%M:%SZ}"',
        "",
        "[users]",
        *(f'{column} = "{kind.value}"' for column, kind in people.KINDS.items()),
        "",
        "[reasons]",
        "columns = [" + ", ".join(f'"{column}"' for column in people.REASONS) + "]",
        "",
    ]
    return "\n".join(lines)
