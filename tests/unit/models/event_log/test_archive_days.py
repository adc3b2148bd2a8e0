"""Days of the archive that are over become Parquet, and what lasts of those of long ago stays."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from models.errors import ArtefactError
from models.event_log.archive import archive as archive_module
from models.event_log.archive import day_files
from models.event_log.archive.archive import Archive
from models.event_log.archive.line_format import REMOVED
from models.event_log.archive.packing import Packed, pack
from models.event_log.event import ERASE, PROFILE, Entry
from models.schema.event_kinds import EventKind
from models.system import files

SHARD = 3
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WHOLE_DAYS = 365


def at(days_ago: float) -> int:
    """Microseconds, so many days before now."""
    return round((NOW - timedelta(days=days_ago)).timestamp() * 1e6)


def event(days_ago: float, kind: str = "block", user: str = "ann", other: str = "bea", **more: object) -> Entry:
    return Entry(kind, user, at(days_ago), other_id=other, at=at(days_ago), **more)


def position(entry: Entry) -> str:
    return f"{entry.timestamp_us // 1000}-{entry.timestamp_us % 1000}"


def archived(home: Path, *entries: Entry | None, segment_bytes: int = 300) -> Archive:
    """An archive with entries in rising order; None: one that was set aside, a millisecond after the one before."""
    archive, last = Archive(home, segment_bytes), 0
    for entry in entries:
        last = last + 1000 if entry is None else entry.timestamp_us
        line = (f"{last // 1000}-0", REMOVED if entry is None else entry.encode())
        assert archive.append(SHARD, [line]) == 1
    return archive


def names(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "events" / f"{SHARD:02d}").iterdir())


def everything(archive: Archive) -> list[Entry | None]:
    return [entry for _, entry in archive.read(SHARD)]


EVERY_FIELD = (
    *(event(9 - number / 20, kind.word) for number, kind in enumerate(EventKind)),
    event(8.1, "click", "new/ú 🦉", "x\n", event_id="e1", request_id="r-1", context="mobile", position=2),
    Entry(PROFILE, "ann", at(8), columns={"company": None, "genres": ["a", "b"], "age": 1.5, "active": False}),
    Entry(PROFILE, "bea", at(7.9), columns={}, announced=["active"]),
    Entry(ERASE, "cid", at(7.8)),
    None,
    event(7.5),
)


def test_lines_and_parquet_read_alike(tmp_path: Path) -> None:
    archive = archived(tmp_path, *EVERY_FIELD)
    positions = [one for one, _ in archive.read(SHARD)]
    assert everything(archive) == list(EVERY_FIELD)
    of_lines = archive.table(SHARD)
    packed = pack(archive, NOW, WHOLE_DAYS)
    assert (packed.entries, packed.passed) == (len(EVERY_FIELD) - 1, 0)
    assert sum(name.endswith(".parquet") for name in names(tmp_path)) == packed.files > 3
    assert sum(name.endswith(".jsonl") for name in names(tmp_path)) == 1, "the last file stays lines"
    assert everything(archive) == list(EVERY_FIELD)
    assert [one for one, _ in archive.read(SHARD, positions[-1])] == positions
    of_both = archive.table(SHARD)
    assert of_both[0].equals(of_lines[0])
    assert of_both[1] == of_lines[1] == positions[-1]
    assert of_both[0].height == len(EVERY_FIELD) - 1, "what was removed is in no table"
    assert pack(archive, NOW, WHOLE_DAYS) == Packed()


@pytest.mark.parametrize(
    "change", [(b'{"log_position"', b'{"position"'), (b"\n", b" \n"), (b'"web"', b"7"), (b"", b"")]
)
def test_lines_of_an_unusual_form_are_in_the_table(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    archive = archived(tmp_path, event(3), event(2, "click", context="web", position=2), event(1))
    for path in (tmp_path / "events" / f"{SHARD:02d}").iterdir():
        path.write_bytes(path.read_bytes().replace(*change))
    with path.open("ab") as file:
        file.write(b'{"log_position":"9999999999999-0","kind":"bl')
    table, last = archive.table(SHARD, position(event(1)))
    found = [one for _, one in day_files.entries_of(table) if one]
    assert [(one.kind, one.timestamp_us, one.position) for one in found] == [
        ("block", at(3), None),
        ("click", at(2), 2),
        ("block", at(1), None),
    ]
    assert last == position(event(1))


def test_a_table_has_the_rows_for_which_all_conditions_hold(tmp_path: Path) -> None:
    archive = archived(tmp_path, *EVERY_FIELD)
    pack(archive, NOW, WHOLE_DAYS)
    late, of_bea = pl.col("timestamp_us") >= at(8), pl.col("user_id") == "bea"
    table, last = archive.table(SHARD, "0-0", late, of_bea)
    assert list(day_files.entries_of(table)) == [(position(EVERY_FIELD[-4]), EVERY_FIELD[-4])]
    assert last == position(EVERY_FIELD[-1])


def test_a_new_day_begins_a_new_file_and_the_latest_days_stay_lines(tmp_path: Path) -> None:
    archive = archived(tmp_path, *(event(days) for days in (4, 3, 2, 1, 0)), segment_bytes=1 << 20)
    archive.append(SHARD, [(position(one), one.encode()) for one in (event(-0.1), event(-0.2), event(-1), event(-1.1))])
    kept = ["2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01"]
    before = ["2026-11-26", "2026-11-27"]
    assert names(tmp_path) == [f"{day}-0001.jsonl" for day in before + kept]
    assert pack(archive, NOW, WHOLE_DAYS) == Packed(files=2, entries=2)
    assert names(tmp_path) == [f"{day}-0001.parquet" for day in before] + [f"{day}-0001.jsonl" for day in kept]
    assert len(everything(archive)) == 9


def test_lines_never_get_the_name_of_a_parquet_file(tmp_path: Path) -> None:
    archive = archived(tmp_path, event(9), event(8.9), event(0), segment_bytes=1)
    pack(archive, NOW, WHOLE_DAYS)
    (tmp_path / "events" / f"{SHARD:02d}" / names(tmp_path)[-1]).unlink()  # as nobody should
    again = Archive(tmp_path)
    assert again.append(SHARD, [(position(event(8.8)), event(8.8).encode())]) == 1
    assert names(tmp_path)[-1] == "2026-11-21-0003.jsonl"
    assert everything(again) == [event(9), event(8.9), event(8.8)]


def test_files_that_are_named_by_a_number_alone_are_of_the_day_of_their_last_entry(tmp_path: Path) -> None:
    archive = archived(tmp_path, event(9), event(8))
    directory = tmp_path / "events" / f"{SHARD:02d}"
    for number, name in enumerate(names(tmp_path), 1):
        (directory / name).rename(directory / f"{number:08d}.jsonl")
    archive.append(SHARD, [(position(event(1)), event(1).encode())])
    assert names(tmp_path) == ["00000001.jsonl", "00000002.jsonl", "2026-11-29-0001.jsonl"]
    assert archive.rewrite({"ann": at(8.5)}) == 1, "the first is written now"
    assert pack(archive, NOW - timedelta(days=6.5), WHOLE_DAYS).files == 1
    assert pack(archive, NOW, WHOLE_DAYS).files == 1
    assert everything(archive) == [None, event(8), event(1)]
    assert pack(archive, NOW + timedelta(days=400), WHOLE_DAYS).passed == 0
    assert names(tmp_path) == ["2026-11-29-0001.jsonl", "lasting-00000002.parquet"]
    assert [one for one in everything(archive) if one] == [event(8), event(1)]


class TestLasting:
    OLD = (
        event(500, "impression", "ann"),
        event(499, "click", "ann"),
        event(498, "block", "ann"),
        event(497, "impression", "bea"),
        Entry(PROFILE, "cid", at(496), columns={"active": False}),
        Entry(ERASE, "dan", at(495)),
        event(494, "view", "ann"),
        event(493, "impression", "bea"),
        event(492, "impression", "ann"),
        event(491, "view", "ann"),
    )
    NEW = (event(9, "impression", "ann"), event(0))

    def test_of_long_ago_stays_all_but_what_passes(self, tmp_path: Path) -> None:
        archive = archived(tmp_path, *self.OLD, *self.NEW)
        assert pack(archive, NOW, WHOLE_DAYS).passed == 5
        kept = [self.OLD[number] for number in (2, 4, 5, 7, 9)]
        assert everything(archive) == [*kept, *self.NEW]
        assert names(tmp_path)[0].startswith("2026-")
        assert names(tmp_path)[-1] == "lasting-2025-07-27-0001.parquet"
        assert pack(archive, NOW, WHOLE_DAYS) == Packed()
        # a year on, what was ann's last entry is not any more
        archive.append(SHARD, [(position(event(-400)), event(-400).encode())])
        pack(archive, NOW + timedelta(days=500), WHOLE_DAYS)
        assert everything(archive) == [*kept[:-1], self.NEW[1], event(-400)]
        assert sum(name.startswith("lasting-") for name in names(tmp_path)) == 1

    def test_the_position_stays_where_nothing_else_does(self, tmp_path: Path) -> None:
        passing, last = event(500, "click"), event(491, "view", "ann")
        erased = event(499, "click", "eve", "eda")
        archive = archived(tmp_path, passing, erased, last, event(0))
        pack(archive, NOW, WHOLE_DAYS)
        archive.rewrite({"ann": at(400)})
        (tmp_path / "events" / f"{SHARD:02d}" / names(tmp_path)[0]).write_bytes(b"")  # begun, and not written to
        assert Archive(tmp_path).last(SHARD) == position(last)
        assert [one for one, _ in archive.read(SHARD, position(last))][-1] == position(last)
        assert Archive(tmp_path).append(SHARD, [(position(event(0)), event(0).encode())], position(last)) == 1
        assert [one for one in everything(archive) if one] == [erased, event(0)]


class TestInterrupted:
    """Whatever a kill leaves is read once, and is gone after the next run."""

    def test_between_the_parquet_file_and_the_removal_of_its_lines(self, tmp_path: Path) -> None:
        archive = archived(tmp_path, *EVERY_FIELD)
        directory = tmp_path / "events" / f"{SHARD:02d}"
        lines = {path: path.read_bytes() for path in directory.glob("*.jsonl")}
        pack(archive, NOW, WHOLE_DAYS)
        for path, content in lines.items():
            path.write_bytes(content)
        assert everything(archive) == list(EVERY_FIELD)
        assert archive.table(SHARD)[0].height == len(EVERY_FIELD) - 1
        assert archive.rewrite({"ann": at(0)}) > 0
        assert not any(b'"ann"' in path.read_bytes() for path in directory.glob("*.jsonl"))
        assert "ann" not in {name for one in everything(archive) if one for name in (one.user_id, one.other_id)}

    def test_between_what_lasts_and_the_removal_of_its_days(self, tmp_path: Path) -> None:
        archive = archived(tmp_path, *TestLasting.OLD, *TestLasting.NEW)
        pack(archive, NOW, 10_000)
        directory = tmp_path / "events" / f"{SHARD:02d}"
        days = {path: path.read_bytes() for path in directory.glob("*.parquet")}
        pack(archive, NOW, WHOLE_DAYS)
        once = everything(archive)
        for path, content in days.items():
            path.write_bytes(content)
        unfinished = directory / ".lasting-2026.parquet.aside", directory / ".2025-08-01-0001.parquet.aside.7.aside"
        for path in unfinished:
            path.write_bytes(b"ann")
        assert everything(archive) == once
        pack(archive, NOW, WHOLE_DAYS)
        assert not any(path.exists() for path in unfinished)
        assert everything(archive) == once
        assert len(names(tmp_path)) < len(days)


def test_who_reads_meanwhile_reads_each_entry_once(tmp_path: Path) -> None:
    archive, found = archived(tmp_path, *EVERY_FIELD), []
    for number, (_, entry) in enumerate(archive.read(SHARD)):
        found.append(entry)
        if number == 2:
            pack(Archive(tmp_path), NOW, WHOLE_DAYS)
    assert found == list(EVERY_FIELD)


def test_who_is_erased_while_a_day_is_packed_is_in_none_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, write = archived(tmp_path, event(9, user="eve"), event(8), event(0)), day_files.write

    def write_and_erase(table: pl.DataFrame, path: Path) -> None:
        write(table, path)
        assert Archive(tmp_path).rewrite({"eve": at(0)}) in (0, 1)

    monkeypatch.setattr(day_files, "write", write_and_erase)
    assert pack(archive, NOW, WHOLE_DAYS).files < 2
    monkeypatch.undo()
    directory = tmp_path / "events" / f"{SHARD:02d}"
    assert not list(directory.glob(".*.aside"))
    assert everything(archive) == [None, event(8), event(0)]
    assert pack(archive, NOW, WHOLE_DAYS).files >= 1
    assert everything(archive) == [None, event(8), event(0)]


def test_an_erasure_while_a_file_is_written_leaves_the_shard_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, write_parquet = archived(tmp_path, event(9), event(8), event(0)), pl.DataFrame.write_parquet

    def write_and_erase(table: pl.DataFrame, file: Any, **options: Any) -> None:
        write_parquet(table, file, **options)
        assert Archive(tmp_path).rewrite({"eve": at(0)}) == 0  # before the file has its name

    monkeypatch.setattr(pl.DataFrame, "write_parquet", write_and_erase)
    assert pack(archive, NOW, WHOLE_DAYS) == Packed()
    monkeypatch.undo()
    assert everything(archive) == [event(9), event(8), event(0)]
    assert pack(archive, NOW, WHOLE_DAYS).files == 2


def test_a_shard_that_another_process_holds_is_packed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archived(tmp_path, event(9), event(8), event(0))
    monkeypatch.setattr(archive_module, "LOCK_S", 0.1)
    with files.locked(tmp_path / "events" / f".{SHARD:02d}.lock", 1.0):
        assert pack(archive, NOW, WHOLE_DAYS) == Packed()
        assert everything(archive) == [event(9), event(8), event(0)]
    assert pack(archive, NOW, WHOLE_DAYS).files == 2


def test_a_table_has_every_field_of_an_entry() -> None:
    assert {field.name for field in fields(Entry)} < set(day_files.ENTRY_COLUMNS)


def test_who_is_erased_is_in_no_parquet_file(tmp_path: Path) -> None:
    archive = archived(tmp_path, *TestLasting.OLD, event(20, user="eve"), event(19, other="eve"), event(9), event(0))
    pack(archive, NOW, WHOLE_DAYS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "events" / f"{SHARD:02d}").iterdir()}
    assert archive.rewrite({"eve": at(19.5), "dan": at(600)}) == 1
    assert [path.stat().st_mtime_ns == at for path, at in before.items()].count(False) == 1, "one file is rewritten"
    assert archive.rewrite({"eve": at(0), "cid": at(0)}) == 2
    every = pl.concat([pl.read_parquet(path) for path in before if path.suffix == ".parquet"])
    assert {"eve", "cid"}.isdisjoint([*every["user_id"], *every["other_id"]])
    assert every["columns"].drop_nulls().is_empty()
    assert everything(archive)[-4:] == [None, None, event(9), event(0)]


def test_damaged_lines_are_not_packed(tmp_path: Path) -> None:
    archive = archived(tmp_path, *EVERY_FIELD)
    first = tmp_path / "events" / f"{SHARD:02d}" / names(tmp_path)[0]
    content = first.read_bytes()
    first.write_bytes(content[:-3])
    with pytest.raises(ArtefactError, match="truncated or altered"):
        pack(archive, NOW, WHOLE_DAYS)
    first.write_bytes(content)
    assert everything(archive) == list(EVERY_FIELD)


def test_columns_of_another_release_are_left_out_and_filled_in(tmp_path: Path) -> None:
    archive = archived(tmp_path, event(9), event(8, "click", event_id="e"), event(0))
    pack(archive, NOW, WHOLE_DAYS)
    directory = tmp_path / "events" / f"{SHARD:02d}"
    older, newer = sorted(directory.glob("*.parquet"))
    pl.read_parquet(older).drop("event_id", "announced").write_parquet(older)
    pl.read_parquet(newer).with_columns(pl.lit(1).alias("mood")).write_parquet(newer)
    assert everything(archive) == [event(9), event(8, "click", event_id="e"), event(0)]
    assert archive.table(SHARD)[0].columns == day_files.ENTRY_COLUMNS.names()
