"""Tables round trip, load from the golden version, and refuse what does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.errors import ArtefactError
from models.graph import Graph
from models.schema.columns import Flag, Kind
from models.schema.profiles import Profiles
from models.schema.relationship import Relationship
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.version.block_file import Blocks, write_blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from models.version.tables import Tables, most_connected, write_tables
from models.version.towers import Towers

GOLDEN = Path(__file__).parents[3] / "golden"


def test_what_is_written_is_read_back(written_version: Path) -> None:
    _check_people(written_version)
    blocked = [Relationship.BLOCKED_BY_VIEWER, Relationship.BLOCKED_BY_OTHER]
    assert Tables.open(written_version / "tables").forbidden_kinds.tolist() == blocked


def test_a_version_that_does_not_say_why_pairs_are_forbidden_gives_a_reason_that_nothing_lifts() -> None:
    assert Tables.open(GOLDEN / "version-1" / "tables").forbidden_kinds.tolist() == [Relationship.REPORTED] * 2


def test_reasons_that_were_written_may_not_be_missing(written_version: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(written_version / "tables", tmp_path / "tables"))
    (directory / "forbidden_kinds.npy").unlink()
    with pytest.raises(ArtefactError, match="forbidden_kinds"):
        Tables.open(directory)


@pytest.mark.parametrize("version", sorted(GOLDEN.glob("version-*")), ids=lambda path: path.name)
def test_every_golden_version_still_loads(version: Path) -> None:
    """Versions of past layouts are kept for good: rollback must be able to go to them."""
    _check_people(version)


def _check_people(version: Path) -> None:
    manifest = Manifest.read(version)
    manifest.verify(version)
    tables = Tables.open(version / "tables")
    assert tables.n == manifest.users == 8
    assert tables.vocabulary.user_ids() == ["ann", "bea", "cid", "dan", "eva", "fay", "gus", "héloïse"]
    assert tables.vocabulary.digest == manifest.vocabulary
    assert tables.graph.neighbours(3).tolist() == [0, 1, 2, 4]
    assert tables.forbidden.neighbours(0).tolist() == [4]
    assert tables.forbidden.neighbours(4).tolist() == [0]
    assert [bool(flag & Flag.DISCOVERABLE) for flag in tables.flags] == [True] * 7 + [False]
    if (version / "tables" / "towers.npy").exists():
        assert tables.towers.codes.tolist() == [[100, 0, 0, 0]] * 4 + [[0, 100, 0, 0]] * 4
        assert tables.towers.query(0).tolist() == pytest.approx([1.25, 0, 0, 0])
    else:  # of trained towers, which no release reads any more
        assert tables.towers.dimensions == 0
    assert tables.statistic_names == ["log_degree"]
    assert tables.statistics[3, 0] == pytest.approx(np.log(5))
    assert tables.categorical_columns == ["company"]
    assert tables.categorical_values == [["Acme", "Bolt"]]
    assert tables.categorical_codes[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, -1]
    assert tables.multi_values == [("genres", "folk"), ("genres", "jazz"), ("schools", "Elm")]
    assert tables.column_kinds == {"company": Kind.CATEGORICAL, "genres": Kind.MULTI, "schools": Kind.MULTI}
    assert tables.multi_codes[tables.multi_indptr[0] : tables.multi_indptr[1]].tolist() == [0, 1, 2]
    assert tables.multi_codes[tables.multi_indptr[7] : tables.multi_indptr[8]].tolist() == [1]
    assert tables.reason_columns == ["company"]
    assert tables.popular.tolist() == [3, 4, 0, 1, 2, 5, 6], "dan and eva hold the bridge; héloïse is not shown"
    assert tables.profile(1) == {"name": "Bea", "company": "Acme"}
    assert tables.profile(7) == {}
    blocks = Blocks.open(version / "blocks", 8)
    assert blocks.rows().tolist() == list(range(7))
    assert blocks.record(7) == b""
    assert Block.unpack(blocks.record(0)).rows.tolist() == [4, 5, 6, 7]


@pytest.fixture
def tables_directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "version-2" / "tables", tmp_path / "tables"))


@pytest.mark.parametrize("name", sorted(path.name for path in (GOLDEN / "version-2" / "tables").iterdir()))
def test_a_missing_or_truncated_file_is_refused_by_name(tables_directory: Path, name: str) -> None:
    path = tables_directory / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ArtefactError, match=name):
        Tables.open(tables_directory)
    path.unlink()
    with pytest.raises(ArtefactError, match=f"{name} is missing"):
        Tables.open(tables_directory)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("flags", np.zeros(7, np.uint8)),
        ("flags", np.zeros(8, np.int8)),
        ("towers", np.zeros((9, 4), np.int8)),
        ("towers", np.zeros(8, np.int8)),
        ("towers", np.zeros((8, 4), np.float32)),
        ("tower_weights", np.zeros((3, 5), np.float32)),
        ("tower_weights", np.zeros((2, 4), np.float32)),
        ("statistics", np.zeros((8, 2), np.float32)),
        ("categorical_codes", np.zeros((8, 2), np.int32)),
        ("indptr", np.array([0, 5, 4, 4, 4, 4, 4, 4, 26])),
        ("indptr", np.arange(1, 10)),
        ("indices", np.zeros(25, np.int32)),
        ("vocabulary_offsets", np.arange(8)),
    ],
)
def test_an_array_of_another_version_is_refused_by_name(tables_directory: Path, name: str, array: np.ndarray) -> None:
    files.write_array(tables_directory / f"{name}.npy", array)
    with pytest.raises(ArtefactError, match=f"{name}.npy"):
        Tables.open(tables_directory)


@pytest.mark.parametrize("name", ["indices", "forbidden_indices", "multi_codes", "popular"])
@pytest.mark.parametrize("value", [-1, 8])
def test_a_value_beyond_the_people_is_refused_by_name(tables_directory: Path, name: str, value: int) -> None:
    path = tables_directory / f"{name}.npy"
    array = np.load(path)
    array[0] = value
    np.save(path, array)
    with pytest.raises(ArtefactError, match=f"{name}.npy is altered"):
        Tables.open(tables_directory)


def test_a_profile_that_is_no_json_is_refused_by_row(tables_directory: Path) -> None:
    path = tables_directory / "profiles.bin"
    path.write_bytes(b"?" + path.read_bytes()[1:])
    tables = Tables.open(tables_directory)
    assert tables.profile(1)["name"] == "Bea"
    with pytest.raises(ArtefactError, match="row 0"):
        tables.profile(0)


def _write(directory: Path, n: int, **changed: object) -> None:
    nobody = Graph.from_pairs(n, [], [])
    arguments: dict[str, object] = {
        "vocabulary": Vocabulary.from_ids(f"{number:04}" for number in range(n)),
        "graph": nobody,
        "forbidden": nobody,
        "flags": np.full(n, 7, np.uint8),
        "profiles": Profiles(n),
        "profile_json": (b"", np.zeros(n + 1, np.int64)),
        "reason_columns": [],
        "towers": Towers.none(n),
        "statistics": np.zeros((n, 0)),
        "statistic_names": [],
    }
    write_tables(directory, **{**arguments, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_people_of_whom_nothing_is_known_round_trip(tmp_path: Path, n: int) -> None:
    _write(tmp_path, n)
    tables = Tables.open(tmp_path)
    assert tables.n == len(tables.vocabulary) == tables.graph.n == n
    assert tables.popular.tolist() == []
    assert tables.categorical_codes.shape == (n, 0)
    assert [tables.profile(row) for row in range(n)] == [{}] * n


def test_how_suspicious_accounts_are_is_told_where_it_was_said(tmp_path: Path) -> None:
    _write(tmp_path / "silent", 3)
    assert Tables.open(tmp_path / "silent").suspicion is None
    assert not (tmp_path / "silent" / "suspicion.npy").exists()
    _write(tmp_path / "told", 3, suspicion=[0.0, 0.5, 1.0])
    told = Tables.open(tmp_path / "told").suspicion
    assert told is not None
    assert (told.dtype, told.tolist()) == (np.float16, [0.0, 0.5, 1.0])
    (tmp_path / "told" / "suspicion.npy").unlink()
    with pytest.raises(ArtefactError, match="suspicion"):
        Tables.open(tmp_path / "told")


def test_lengths_that_disagree_are_refused_at_writing(tmp_path: Path) -> None:
    for changed in (
        {"flags": np.zeros(2, np.uint8)},
        {"graph": Graph.from_pairs(4, [], [])},
        {"towers": Towers.none(4)},
        {"suspicion": np.zeros(2)},
    ):
        with pytest.raises(ValueError, match="3 users"):
            _write(tmp_path, 3, **changed)


def test_the_most_connected_stand_by_degree_then_row() -> None:
    star = Graph.from_pairs(5, [2, 2, 2, 0], [0, 1, 3, 1])
    flags = np.array([7, 7, 7, 5, 7], np.uint8)
    assert most_connected(star, flags).tolist() == [2, 0, 1], "3 is inactive, 4 has nobody"
    assert most_connected(star, flags, count=1).tolist() == [2]


def test_blocks_of_another_number_of_users_are_refused(tmp_path: Path) -> None:
    assert write_blocks(tmp_path, iter([b"ab", b"", b"c"])) == 3
    blocks = Blocks.open(tmp_path, 3)
    assert list(blocks.records()) == [(0, b"ab"), (2, b"c")]
    with pytest.raises(ArtefactError, match="blocks_offsets"):
        Blocks.open(tmp_path, 4)
    (tmp_path / "blocks.bin").write_bytes(b"ab")
    with pytest.raises(ArtefactError, match=r"blocks\.bin"):
        Blocks.open(tmp_path, 3)
