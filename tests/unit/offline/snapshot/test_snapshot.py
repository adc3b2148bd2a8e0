"""A snapshot is whole or absent, and holds what rows and interactions amount to."""

import datetime as dt
from pathlib import Path

import pytest

from models.errors import ArtefactError, DatasetError
from offline.snapshot.snapshot import UNDATED, Snapshot, write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
AS_OF = int(STARTED.timestamp())
DAY = 86_400


def of(directory: Path, connections: str = "", interactions: str = "", *, days: int = 90) -> Snapshot:
    """The snapshot of a, b and others; rows are separated by spaces, times are days before the cut."""
    directory.mkdir(exist_ok=True)
    (directory / "users.csv").write_text("user_id\na\nb\n")
    (directory / "connections.csv").write_text("user_id,other_id,created_at\n" + _dated(connections))
    (directory / "interactions.csv").write_text("user_id,other_id,kind,at\n" + _dated(interactions))
    return write_snapshot(directory, directory / "snapshot", started_at=STARTED, forbidden_days=days)


def _dated(rows: str) -> str:
    def line(row: str) -> str:
        *cells, days = row.split(",")
        return ",".join([*cells, str(AS_OF - int(days) * DAY) if days else ""])

    return "".join(line(row) + "\n" for row in rows.split())


def friends(snapshot: Snapshot) -> dict[str, int | None]:
    """The friendships and how many days before the cut they were made."""
    a, b, made = snapshot.connections()
    names = snapshot.vocabulary.user_ids()
    days = [None] * len(a) if made is None else [None if at == UNDATED else (AS_OF - int(at)) // DAY for at in made]
    return {f"{names[one]}-{names[other]}": when for one, other, when in zip(a, b, days, strict=True)}


def forbidden(snapshot: Snapshot) -> set[str]:
    names = snapshot.vocabulary.user_ids()
    return {f"{names[viewer]}>{names[other]}" for viewer, other in zip(*snapshot.forbidden(), strict=True)}


BOTH = {"a>b", "b>a"}
STATES = {
    # rows of connections, rows of interactions, friendships, forbidden pairs
    "a friendship without a date": ("a,b,", "", {"a-b": None}, set()),
    "the earliest date of repeats": ("a,b,5 b,a,9 a,b,", "", {"a-b": 9}, set()),
    "signals alone change nothing": ("", "a,b,impression,3 a,b,click,2 a,b,view,1", {}, set()),
    "block": ("", "a,b,block,3", {}, BOTH),
    "a blocked friend is both": ("a,b,9", "a,b,block,3", {"a-b": 9}, BOTH),
    "unblock lifts": ("", "a,b,block,3 a,b,unblock,2", {}, set()),
    "an older unblock lifts nothing": ("", "a,b,unblock,3 a,b,block,2", {}, BOTH),
    "at the same time the block stands": ("", "a,b,block,3 a,b,unblock,3", {}, BOTH),
    "the other's unblock lifts nothing": ("", "a,b,block,3 b,a,unblock,2", {}, BOTH),
    "dismiss is one way": ("", "a,b,dismiss,3", {}, {"a>b"}),
    "undismiss lifts": ("", "a,b,dismiss,3 a,b,undismiss,2", {}, set()),
    "undismiss lifts no block": ("", "a,b,block,3 a,b,undismiss,2", {}, BOTH),
    "report is one way, for good": ("", "a,b,report,999 a,b,undismiss,2 a,b,unblock,2", {}, {"a>b"}),
    "a pending invite": ("", "a,b,invite,999", {}, BOTH),
    "withdraw lifts": ("", "a,b,invite,3 a,b,withdraw,2", {}, set()),
    "the invited cannot withdraw": ("", "a,b,invite,3 b,a,withdraw,2", {}, BOTH),
    "withdrawn on the same day": ("", "a,b,withdraw,3 a,b,invite,3", {}, set()),
    "invited again": ("", "a,b,invite,3 a,b,withdraw,2 a,b,invite,1", {}, BOTH),
    "accept connects": ("", "a,b,invite,3 b,a,accept,2", {"a-b": 2}, set()),
    "accept on the same day": ("", "b,a,accept,3 a,b,invite,3", {"a-b": 3}, set()),
    "decline forbids for the set time": ("", "a,b,invite,9 b,a,decline,8", {}, BOTH),
    "an old decline lifts the invite": ("", "a,b,invite,99 b,a,decline,90", {}, set()),
    "the inviter cannot decline": ("", "a,b,invite,99 a,b,decline,95", {}, BOTH),
    "accepted after a decline": ("", "a,b,invite,9 b,a,decline,8 b,a,accept,7", {"a-b": 7}, set()),
    "connect": ("", "a,b,connect,3", {"a-b": 3}, set()),
    "connect settles an invite": ("", "a,b,invite,300 b,a,connect,299 b,a,disconnect,200", {}, set()),
    "disconnect": ("a,b,9", "b,a,disconnect,3", {}, BOTH),
    "an old disconnect": ("a,b,999", "b,a,disconnect,99", {}, set()),
    "disconnect just inside the set time": ("a,b,999", "b,a,disconnect,89", {}, BOTH),
    "a newer row outlives a disconnect": ("a,b,3", "a,b,disconnect,9", {"a-b": 3}, set()),
    "a row without a date speaks as of the export": ("a,b,", "a,b,disconnect,9", {"a-b": None}, set()),
    "connected again": ("a,b,9", "a,b,disconnect,5 a,b,connect,2", {"a-b": 2}, set()),
    "at the same time they part": ("a,b,9", "a,b,connect,5 a,b,disconnect,5", {}, BOTH),
    "the earlier of row and event": ("a,b,5", "a,b,connect,9", {"a-b": 9}, set()),
    "others are left alone": ("a,b,9 c,d,9", "a,b,disconnect,3 e,c,block,1", {"c-d": 9}, BOTH | {"c>e", "e>c"}),
}


@pytest.mark.parametrize(("connections", "interactions", "connected", "hidden"), STATES.values(), ids=STATES.keys())
def test_state_of_a_pair(
    tmp_path: Path, connections: str, interactions: str, connected: dict[str, int | None], hidden: set[str]
) -> None:
    read = of(tmp_path, connections, interactions)
    assert friends(read) == connected
    assert forbidden(read) == hidden


def test_the_set_time_can_be_set(tmp_path: Path) -> None:
    assert forbidden(of(tmp_path, interactions="a,b,decline,5", days=6)) == BOTH
    assert forbidden(of(tmp_path, interactions="a,b,decline,5", days=5)) == set()


def test_interactions_stay_as_signal(tmp_path: Path) -> None:
    read = of(tmp_path, interactions="b,a,click,1 a,b,block,3 a,c,click,2 a,b,click,2")
    done = read.interactions()
    assert [done.user.tolist(), done.other.tolist(), done.kind.tolist()] == [[0, 0, 0, 1], [1, 1, 2, 0], [11, 1, 1, 1]]
    assert ((AS_OF - done.at) // DAY).tolist() == [3, 2, 2, 1]
    activity = read.activity()
    assert (activity[:, 1].tolist(), activity[:, 11].tolist(), activity.sum()) == ([2, 1, 0], [1, 0, 0], 4)


def test_opened_again_it_is_the_same(tmp_path: Path) -> None:
    written = of(tmp_path, "a,b,3", "a,c,block,1")
    opened = Snapshot.open(tmp_path / "snapshot")
    assert opened.description == written.description
    assert opened.digest == written.digest
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["users", "connections", "interactions", "forbidden"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    of(tmp_path, "a,b,3")
    path = tmp_path / "snapshot" / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match=f"{name}.parquet is truncated or altered"):
        Snapshot.open(tmp_path / "snapshot")
    path.unlink()
    with pytest.raises(ArtefactError, match=f"{name}.parquet is missing"):
        Snapshot.open(tmp_path / "snapshot")


def test_a_damaged_description_is_refused_by_name(tmp_path: Path) -> None:
    of(tmp_path)
    (tmp_path / "snapshot" / "snapshot.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"snapshot\.json is truncated or altered"):
        Snapshot.open(tmp_path / "snapshot")


def test_bad_input_leaves_the_existing_snapshot(tmp_path: Path) -> None:
    before = of(tmp_path, "a,b,3").digest
    (tmp_path / "connections.csv").write_text("user_id,other_id\na,\n")
    with pytest.raises(DatasetError):
        write_snapshot(tmp_path, tmp_path / "snapshot", started_at=STARTED)
    assert Snapshot.open(tmp_path / "snapshot").digest == before
