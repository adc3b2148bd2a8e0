"""The archive loses nothing that it said it has, and keeps nothing that was taken out."""

from pathlib import Path

import pytest

from models.errors import ArtefactError
from models.event_log.archive.archive import Archive
from models.event_log.event import Entry
from models.store.keys import SHARDS

SHARD = 3


def entry(number: int, other: str = "bea") -> tuple[str, bytes]:
    """An entry at position `number`, acknowledged at that timestamp."""
    return f"{number}-0", Entry("block", "ann", number, other_id=other, at=number).encode()


def timestamps_us(archive: Archive, acknowledged: str = "0-0") -> list[int | None]:
    return [one and one.timestamp_us for _, one in archive.read(SHARD, acknowledged)]


def segments(home: Path) -> list[Path]:
    return sorted((home / "events" / f"{SHARD:02d}").glob("*.jsonl"))


class TestArchive:
    def test_what_is_appended_is_read_in_its_order_once(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        assert timestamps_us(archive) == []
        assert archive.append(SHARD, [entry(1), entry(2)]) == 2
        assert archive.append(SHARD, [entry(2), entry(9), entry(10)], "2-0") == 2  # 9 and 10 sort as numbers
        assert Archive(tmp_path).append(SHARD, [entry(9), entry(10)], "10-0") == 0
        assert timestamps_us(Archive(tmp_path), "10-0") == [1, 2, 9, 10]
        assert archive.last(SHARD) == "10-0"

    @pytest.mark.parametrize("name", [b"log_position", b"position"])
    def test_an_event_may_say_its_place_in_a_list(self, tmp_path: Path, name: bytes) -> None:
        """And lines be read in which the entry's place in the stream has the same name."""
        told = Entry("click", "ann", 7, "bea", 7, event_id="e", request_id="r", context="web", position=2)
        Archive(tmp_path).append(SHARD, [entry(1), ("7-0", told.encode()), entry(8)])
        (path,) = segments(tmp_path)
        path.write_bytes(path.read_bytes().replace(b'{"log_position"', b'{"%b"' % name))
        archive = Archive(tmp_path)
        assert [one for _, one in archive.read(SHARD, "8-0")][1] == told
        assert archive.last(SHARD) == "8-0"
        assert archive.append(SHARD, [entry(9)], "8-0") == 1
        assert archive.rewrite({"bea": 7}) == 2
        assert timestamps_us(Archive(tmp_path), "9-0") == [None, None, 8, 9]

    def test_a_full_segment_is_followed_by_another(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path, segment_bytes=100)
        for number in range(1, 8):
            archive.append(SHARD, [entry(number)], f"{number - 1}-0")
        assert [path.name for path in segments(tmp_path)] == [f"1970-01-01-000{number}.jsonl" for number in range(1, 5)]
        assert timestamps_us(archive) == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.parametrize("torn", [b'{"position":"3-0","kind":"bl', b"\0" * 40, b"\0\n{}\n"])
    def test_what_a_crash_left_half_written_is_taken_away(self, tmp_path: Path, torn: bytes) -> None:
        Archive(tmp_path).append(SHARD, [entry(1), entry(2)])
        with segments(tmp_path)[0].open("ab") as file:
            file.write(torn)
        archive = Archive(tmp_path)
        assert timestamps_us(archive, "2-0") == [1, 2]
        assert archive.append(SHARD, [entry(3)], "2-0") == 1
        assert timestamps_us(archive, "3-0") == [1, 2, 3]
        assert len(segments(tmp_path)[0].read_bytes().splitlines()) == 3

    def test_what_was_archived_may_not_be_missing(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        archive.append(SHARD, [entry(1), entry(2)])
        path = segments(tmp_path)[0]
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(ArtefactError, match="ends at 1-0, but events up to 2-0"):
            timestamps_us(archive, "2-0")
        with pytest.raises(ArtefactError, match="PYMK_HOME"):
            archive.append(SHARD, [entry(3)], "2-0")
        assert timestamps_us(archive, "1-0") == [1]

    def test_damage_before_the_end_is_noticed(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path, segment_bytes=1)
        archive.append(SHARD, [entry(1)])
        archive.append(SHARD, [entry(2)])
        first = segments(tmp_path)[0]
        first.write_bytes(first.read_bytes()[:-3])
        with pytest.raises(ArtefactError, match="line 1: truncated or altered"):
            timestamps_us(archive)

    def test_an_empty_last_segment_changes_nothing(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        archive.append(SHARD, [entry(1)])
        (segments(tmp_path)[0].parent / "00000002.jsonl").touch()
        assert Archive(tmp_path).append(SHARD, [entry(1), entry(2)], "1-0") == 1
        assert timestamps_us(archive, "2-0") == [1, 2]

    def test_who_is_taken_out_is_nowhere(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path, segment_bytes=200)
        for number in range(1, 9):
            archive.append(SHARD, [entry(number, "eve" if number % 3 == 0 else "bea")])
        assert any(b"eve" in path.read_bytes() for path in segments(tmp_path))
        assert archive.rewrite({"eve": 6}) == 2
        assert timestamps_us(archive, "8-0") == [1, 2, None, 4, 5, None, 7, 8]
        assert not any(b"eve" in path.read_bytes() for path in segments(tmp_path))
        assert archive.append(SHARD, [entry(9, "eve")], "8-0") == 1
        assert archive.rewrite({"eve": 8}) == 0
        assert archive.rewrite({"ann": 99}) == 7
        assert Archive(tmp_path).last(SHARD) == "9-0"

    def test_shards_are_apart(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        archive.append(SHARDS - 1, [entry(5)])
        assert timestamps_us(archive) == []
        assert archive.last(SHARDS - 1) == "5-0"
