"""Files are whole or absent."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ArtefactError
from models.system import files


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.bin"
    files.write_bytes(path, b"old")

    def fail() -> None:
        with files.writing(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["kept.bin"]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5, 0), (7,), (4, 3)])
def test_arrays_round_trip_as_read_only_views(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    files.write_array(tmp_path / "a.npy", array)
    back = files.read_array(tmp_path / "a.npy", np.float32, (None,) * len(shape))
    assert np.array_equal(back, array)
    assert back.shape == shape
    assert type(back) is np.ndarray
    assert not back.flags.writeable


def test_a_big_endian_array_is_written_little_endian(tmp_path: Path) -> None:
    files.write_array(tmp_path / "a.npy", np.array([1, 2], dtype=">i4"))
    assert files.read_array(tmp_path / "a.npy", "<i4", (2,)).tolist() == [1, 2]


@pytest.mark.parametrize("kept", [0, 5, 100, 128, 140, 159])
def test_a_truncated_array_is_refused_by_name(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.npy"
    files.write_array(path, np.arange(8, dtype=np.int32))
    content = path.read_bytes()
    assert len(content) == 160
    path.write_bytes(content[:kept])
    with pytest.raises(ArtefactError, match=r"a\.npy"):
        files.read_array(path, np.int32, (8,))


@pytest.mark.parametrize(("dtype", "shape"), [(np.int64, (8,)), (np.int32, (7,)), (np.int32, (8, 1)), (np.int32, ())])
def test_an_array_of_another_kind_is_refused_by_name(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    files.write_array(tmp_path / "a.npy", np.arange(8, dtype=np.int32))
    with pytest.raises(ArtefactError, match=r"a\.npy holds int32 \(8,\)"):
        files.read_array(tmp_path / "a.npy", dtype, shape)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtefactError, match=r"a\.npy"):
        files.read_array(tmp_path / "a.npy", object, (1,))


def test_missing_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    for read in (files.read_bytes, files.read_json, files.sha256, lambda p: files.map_bytes(p, 3)):
        with pytest.raises(ArtefactError, match="gone is missing"):
            read(path)
    with pytest.raises(ArtefactError, match="gone is missing"):
        files.read_array(path, np.int32, (1,))


def test_bytes_of_another_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    path.write_bytes(b"abc")
    assert files.map_bytes(path, 3).tobytes() == b"abc"
    with pytest.raises(ArtefactError, match="has 3 bytes, not 4"):
        files.map_bytes(path, 4)
    path.write_bytes(b"")
    assert files.map_bytes(path, 0).shape == (0,)


def test_json_that_is_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    files.write_json(path, {"b": 1, "a": [1.5, "é"]})
    assert files.read_json(path) == {"a": [1.5, "é"], "b": 1}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match=r"j\.json is truncated or altered"):
        files.read_json(path)


def test_a_directory_takes_the_place_of_another(tmp_path: Path) -> None:
    old, new = tmp_path / "final", tmp_path / "new"
    for directory in (old, new):
        directory.mkdir()
        (directory / f"{directory.name}.txt").touch()
    files.put_in_place(new, old)
    assert _names(tmp_path) == ["final"]
    assert _names(old) == ["new.txt"]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with files.locked(path, 0) as first, files.locked(path, 0.1) as second:
        assert (first, second) == (True, False)
    with files.locked(path, 0) as third:
        assert third
