"""The dataset that a simulation starts from: a synthetic network up to its first day, with the dates of today."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.schema.columns import Kind
from offline.synth import directory
from offline.synth.arguments import CONNECTIONS, HELD_OUT, INTERACTIONS, SCHEMA, USERS
from offline.synth.calendar import CUT
from offline.synth.interactions import Interactions
from offline.synth.network import Network
from offline.synth.people import KINDS

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def write(network: Network, present: int, data: Path, start: datetime) -> None:
    """Writes the first `present` people of a network, as if its last day were the day before `start`."""
    log = network.interactions
    kept = (log.viewer < present) & (log.other < present)
    among = (network.connections[:, :2] < present).all(axis=1)
    part = replace(
        network,
        users=network.users[:present],
        connections=network.connections[among],
        held_out=network.held_out[:0],
        interactions=Interactions(log.viewer[kept], log.other[kept], log.kind[kept], log.at[kept]),
        fakes=network.fakes[:present],
    )
    directory.write(part, data)
    shift = start - datetime.fromtimestamp(CUT, UTC)
    for name, column in ((USERS, "created_at"), (CONNECTIONS, "created_at"), (INTERACTIONS, "at")):
        _shifted(data / name, column, shift)
    (data / HELD_OUT).unlink()
    schema = (data / SCHEMA).read_text(encoding="utf-8")
    was = f"{datetime.fromtimestamp(CUT, UTC):{_FORMAT}}"
    (data / SCHEMA).write_text(schema.replace(was, f"{start:{_FORMAT}}"), encoding="utf-8")


def _shifted(path: Path, column: str, by: timedelta) -> None:
    table = pl.read_csv(path, infer_schema=False)
    moved = pl.col(column).str.to_datetime(_FORMAT, time_zone="UTC") + by
    table.with_columns(moved.dt.strftime(_FORMAT)).write_csv(path)


def profile_of(network: Network, person: int) -> dict[str, Any]:
    """The profile of a person as PUT /pymk/users takes it: columns without a value are left out."""
    row = network.users.drop("user_id", "created_at").row(person, named=True)
    found: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        found[name] = value.split("|") if KINDS.get(name) is Kind.MULTI else value
    return found


def joining_days(people: int, present: int, days: int) -> dict[int, list[int]]:
    """By day from 1, the people from `present` on who join on its morning, spread over the days."""
    found: dict[int, list[int]] = {}
    newcomers = people - present
    for number in range(newcomers):
        found.setdefault(1 + number * days // newcomers, []).append(present + number)
    return found


def first_friends(network: Network, person: int, known: int, most: int) -> list[int]:
    """The friends, of the first `known` people, whom somebody brings along when joining."""
    pairs = network.connections[:, :2]
    own = np.concatenate([pairs[pairs[:, 0] == person, 1], pairs[pairs[:, 1] == person, 0]])
    return sorted({int(friend) for friend in own if friend < known})[:most]
