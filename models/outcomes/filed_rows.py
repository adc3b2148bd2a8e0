"""From the records of lists to rows with ids and features, as they are filed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.arrays import Float32s
from models.outcomes.exposure_record import UNNAMED, ExposureRecord
from models.outcomes.placement import propensities
from models.outcomes.schema import EXPOSURE_COLUMNS, FEATURES
from models.schema.candidate_sources import names
from models.schema.pair_features import COMMON, PAIR_FEATURES, extra_input_names, extra_inputs
from models.schema.statistic_names import ALL_STATISTICS
from models.version.tables import Tables

_SOURCE_NAMES = pl.Series([names(bits) for bits in range(256)], dtype=EXPOSURE_COLUMNS["sources"])
TablesOf = Callable[[str], Tables | None]
"""opens the tables of a version; None if this host cannot have them"""


def rows_of(records: Sequence[ExposureRecord], tables_of: TablesOf) -> tuple[pl.DataFrame, int]:
    """One row for each person named in the lists, and for each list without people one that names none, in
    EXPOSURE_COLUMNS; and how many lists were left out.

    Left out are lists of a version that is nowhere any more, and those that name rows beyond its people.
    """
    frames, lost = [], 0
    for version in dict.fromkeys(record.head.version for record in records):
        own = [record for record in records if record.head.version == version]
        tables = tables_of(version)
        fitting = [] if tables is None else [one for one in own if int(one.rows[_named(one)].max(initial=0)) < tables.n]
        lost += len(own) - len(fitting)
        with_people = [record for record in fitting if len(record.rows)]
        if tables is not None and with_people:
            frames.append(_rows(with_people, tables))
        if len(with_people) < len(fitting):
            frames.append(_nobody([record for record in fitting if not len(record.rows)]))
    return pl.concat(frames) if frames else pl.DataFrame(schema=EXPOSURE_COLUMNS), lost


def _lists(records: Sequence[ExposureRecord]) -> pl.DataFrame:
    """What each list has once."""
    of_list: dict[str, list[Any]] = {
        "request_id": [record.head.request_id for record in records],
        "at": [record.head.at for record in records],
        "version": [record.head.version for record in records],
        "context": [record.head.context for record in records],
        "served": [record.head.served for record in records],
        "arms": [
            [{"experiment": experiment, "arm": arm} for experiment, arm in record.head.arms.items()]
            for record in records
        ],
        "viewer": [record.head.viewer for record in records],
        "offset": [record.head.offset for record in records],
        "unrecorded": [record.head.unrecorded for record in records],
        "draw": [record.head.draw for record in records],
    }
    return pl.DataFrame(of_list, schema={name: EXPOSURE_COLUMNS[name] for name in of_list})


def _rows(records: Sequence[ExposureRecord], tables: Tables) -> pl.DataFrame:
    """The rows of lists of one version, which have people; those without a name are counted in the positions alone."""
    counts = np.array([len(record.rows) for record in records])
    repeated = _lists(records)[np.repeat(np.arange(len(records)), counts).tolist()]
    named = np.concatenate([_named(record) for record in records])
    rows = np.where(named, np.concatenate([record.rows for record in records]), 0).astype(np.int64)
    distinct, which = np.unique(rows, return_inverse=True)
    ids = pl.Series([tables.vocabulary.user_id(row) for row in distinct.tolist()], dtype=pl.String)
    bits = np.concatenate([record.sources for record in records])
    codes = [bytes(row) if record.codes.shape[1] else None for record in records for row in record.codes]
    of_person: dict[str, Any] = {
        "candidate": ids.gather(which),
        "position": np.concatenate([np.arange(1, count + 1) for count in counts]),
        "score": np.concatenate([record.scores for record in records]),
        "sources": _SOURCE_NAMES.gather(bits),
        "propensity": np.concatenate([propensities(record) for record in records]),
        "codes": codes,
        **_features(records, rows, bits, tables),
    }
    persons = pl.DataFrame(of_person, schema={name: EXPOSURE_COLUMNS[name] for name in of_person}, strict=False)
    every = pl.concat([repeated, persons], how="horizontal").select(EXPOSURE_COLUMNS.names())
    return every if named.all() else every.filter(pl.Series(named))


def _named(record: ExposureRecord) -> NDArray[np.bool_]:
    """(n,) whether the record says who each person is."""
    return np.asarray(record.rows != UNNAMED)


def _nobody(records: Sequence[ExposureRecord]) -> pl.DataFrame:
    """A row for each list without people."""
    lists = _lists(records)
    nobody = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items() if name not in lists.columns]
    return lists.with_columns(nobody).select(EXPOSURE_COLUMNS.names())


def _features(
    records: Sequence[ExposureRecord], rows: NDArray[np.int64], bits: NDArray[np.uint8], tables: Tables
) -> Mapping[str, pl.Series]:
    """What the ranker read of each person, by the names of FEATURES; null where it read nothing."""
    counts = [len(record.rows) for record in records]
    width = tables.statistics.shape[1]
    viewer = np.repeat(np.stack([_statistics(record, tables) for record in records]), counts, axis=0)
    # the pair features of lists that are of a block
    read = np.repeat([record.codes.shape[1] == len(PAIR_FEATURES) for record in records], counts)
    kept = np.zeros((len(rows), len(PAIR_FEATURES)), np.float32)
    places = np.zeros(len(rows), np.int64)
    start = 0
    for record, count in zip(records, counts, strict=True):
        if record.codes.shape[1] == len(PAIR_FEATURES):
            step = (record.high - record.low) / np.float32(255)
            kept[start : start + count] = record.codes * step + record.low
            places[start : start + count] = record.places
        start += count
    # the inputs derived from them
    statistics = tables.statistics[rows]
    extra = extra_inputs(kept[:, COMMON, None], statistics[:, None], viewer, bits[:, None], places[:, None])[:, 0]
    values: dict[str, Float32s] = dict(zip(PAIR_FEATURES, kept.T, strict=True))
    values |= dict(zip(extra_input_names(width), extra.T, strict=True))
    values |= dict(zip((f"viewer_{name}" for name in ALL_STATISTICS[:width]), viewer.T, strict=True))
    nothing = pl.Series([None] * len(rows), dtype=pl.Float32)
    mask = pl.Series(read)
    return {
        name: pl.select(pl.when(mask).then(pl.Series(values[name], dtype=pl.Float32))).to_series()
        if name in values
        else nothing
        for name in FEATURES
    }


def _statistics(record: ExposureRecord, tables: Tables) -> Float32s:
    """(s,) of the viewer of a list: as the version has them, or as the record brings them; else 0."""
    width = tables.statistics.shape[1]
    if len(record.statistics) == width:
        return record.statistics
    row = tables.vocabulary.row(record.head.viewer)
    return np.zeros(width, np.float32) if row is None else np.asarray(tables.statistics[row])
