"""The index of nearest neighbours: exact if small, of sufficient recall if large, refused otherwise."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from models.candidates.ann_index import VectorIndex, open_index
from models.candidates.ann_index_builder import build_index_in_own_process
from models.candidates.config import IndexConfig
from models.candidates.index_build import build_index
from models.candidates.index_recall import RecallSample
from models.errors import ArtefactError, GateRefusedError
from models.system import memory_budget
from models.system.files import read_array, write_array

Answer = TypeVar("Answer")
Build = Callable[..., VectorIndex]
QUICK = IndexConfig(threads=1, recall_sample=300)


def points(n: int, dimensions: int = 16, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around a few centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((10, dimensions))
    vectors = centres[random.integers(10, size=n)] + 0.5 * random.standard_normal((n, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds an index of these vectors, with QUICK and what is given besides."""

    def built(vectors: NDArray[np.float32], **fields: object) -> VectorIndex:
        return build_index(vectors, QUICK.model_copy(update=fields), tmp_path / "index")

    return built


def test_below_a_thousand_users_brute_force_answers(build: Build) -> None:
    vectors = points(999)
    index = build(vectors)
    assert index.manifest.kind == "flat"
    rows, products = index.search(vectors[:50], 5)
    exact = vectors[:50] @ vectors.T
    assert rows.dtype == np.int32
    assert (rows == np.argsort(-exact, axis=1)[:, :5]).all()
    np.testing.assert_allclose(products, -np.sort(-exact, axis=1)[:, :5], atol=1e-6)


def test_from_a_thousand_users_hnsw_answers_and_its_recall_is_measured(build: Build) -> None:
    vectors = points(1_500)
    index = build(vectors)
    assert (index.manifest.kind, index.manifest.users, index.manifest.dimensions) == ("hnsw", 1_500, 16)
    assert 0.98 <= index.manifest.recall <= 1
    exact = np.sort(vectors[:100] @ vectors.T, axis=1)[:, -100:]
    _, products = index.search(vectors[:100], 100)
    assert (np.sort(products, axis=1) >= exact - 1e-6).mean() > 0.97


def test_a_higher_ef_search_is_tried_before_the_index_is_refused(build: Build) -> None:
    vectors = points(1_500, dimensions=32)
    poor = {"links": 2, "ef_construction": 4, "recall_neighbours": 10, "recall_least": 0.9}
    with pytest.raises(GateRefusedError, match=r"at efSearch 1 with float32 codes, under 0\.9"):
        build(vectors, **poor | {"ef_search": (1,)})
    assert build(vectors, **poor | {"ef_search": (1, 1_500), "links": 8}).manifest.ef_search == 1_500


def test_of_equal_vectors_any_counts(build: Build) -> None:
    vectors = np.repeat(points(1), 1_200, axis=0)
    index = build(vectors)
    assert index.manifest.recall == 1.0
    rows, _ = index.search(vectors[:20], 100)
    assert (rows >= 0).all()


@pytest.mark.parametrize("codes", ["float32", "float16", "int8"])
def test_heaps_of_equal_vectors_among_others_stay_reachable(build: Build, codes: str) -> None:
    vectors = points(4_000, dimensions=64)
    vectors[500:1_500] = vectors[500]
    for start in range(2_000, 4_000, 250):
        vectors[start : start + 250] = vectors[start]
    index = build(vectors, codes=codes)
    for heap in (range(500, 1_500, 10), range(2_000, 4_000, 20)):
        assert RecallSample(vectors, np.array(heap), 100).recall(index) > 0.98
        # nearly whole heaps of 250
        assert RecallSample(vectors, np.array(heap), 240).recall(index) > (0.98 if codes == "float32" else 0.7)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_neighbours_past_the_last_user_are_minus_one(build: Build, n: int) -> None:
    vectors = points(n) if n else np.zeros((0, 16), np.float32)
    index = build(vectors)
    rows, products = index.search(points(2, seed=1), 8)
    assert ((rows >= 0).sum(axis=1) == n).all()
    assert np.isneginf(products[rows < 0]).all()
    assert index.nearest_others(np.arange(n), 3).shape == (n, 3)


def test_no_user_is_their_own_neighbour(build: Build) -> None:
    vectors = points(300)
    vectors[100:200] = vectors[100]
    asked = np.arange(300)
    nearest = build(vectors).nearest_others(asked, 20)
    assert (nearest != asked[:, None]).all()
    assert (nearest >= 0).all()
    exact = vectors @ vectors.T
    np.fill_diagonal(exact, -2)
    np.testing.assert_allclose(np.take_along_axis(exact, nearest, axis=1), -np.sort(-exact, axis=1)[:, :20], atol=1e-6)


def test_many_rows_are_answered_in_the_order_in_which_they_are_given(build: Build) -> None:
    vectors = points(6_000)
    index = build(vectors, flat_below=10_000)
    asked = np.random.default_rng(1).permutation(6_000)[:5_000]  # more than are searched at once
    alone = [index.nearest_others(asked[start : start + 500], 5) for start in range(0, 5_000, 500)]
    np.testing.assert_array_equal(index.nearest_others(asked, 5), np.concatenate(alone))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    build_index(points(1_200), QUICK, tmp_path / "index")
    return tmp_path / "index"


def test_an_index_read_back_answers_as_before(written: Path) -> None:
    vectors = points(1_200)
    expected = build_index(vectors, QUICK, written.with_name("again")).search(vectors[:30], 10)
    read = open_index(written, points(1_200))
    for got, want in zip(read.search(vectors[:30], 10), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert sorted(path.name for path in written.iterdir()) == ["index.json", "shard-0000.faiss"]
    assert read.manifest.bytes == (written / "shard-0000.faiss").stat().st_size


def test_a_second_index_takes_the_place_of_the_first_as_a_whole(written: Path) -> None:
    build_index(points(10), QUICK, written)
    assert open_index(written, points(10)).manifest.users == 10
    assert [path.name for path in written.parent.iterdir()] == ["index"]


@pytest.mark.parametrize("name", ["shard-0000.faiss", "index.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_index_is_refused_by_name(written: Path, name: str, share: float) -> None:
    content = (written / name).read_bytes()
    (written / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArtefactError, match=name):
        open_index(written, points(1_200))


def test_an_altered_index_is_refused_by_name(written: Path) -> None:
    content = bytearray((written / "shard-0000.faiss").read_bytes())
    content[len(content) // 2] ^= 255
    (written / "shard-0000.faiss").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"shard-0000\.faiss is truncated or altered"):
        open_index(written, points(1_200))


@pytest.mark.parametrize(
    "change",
    [
        {"users": 7},
        {"dimensions": 3},
        {"kind": "flat"},
        {"metric": "l2"},
        {"more": 1},
        {"codes": "int8"},
        {"shards": []},
    ],
)
def test_an_altered_manifest_is_refused_by_name(written: Path, change: dict[str, object]) -> None:
    manifest = json.loads((written / "index.json").read_bytes())
    (written / "index.json").write_text(json.dumps(manifest | change))
    with pytest.raises(ArtefactError, match=r"index\.json"):
        open_index(written, points(1_200))


@pytest.mark.parametrize("name", ["shard-0000.faiss", "index.json"])
def test_a_missing_file_is_named(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(ArtefactError, match=f"{name} is missing"):
        open_index(written, points(1_200))


def test_an_index_of_an_earlier_release_is_opened(written: Path) -> None:
    expected = open_index(written, points(1_200)).search(points(30), 10)
    (written / "shard-0000.faiss").rename(written / "index.faiss")
    manifest = json.loads((written / "index.json").read_bytes())
    (shard,) = manifest.pop("shards")
    del manifest["codes"]
    former = manifest | {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    (written / "index.json").write_text(json.dumps(former))
    for got, want in zip(open_index(written, points(1_200)).search(points(30), 10), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("codes", ["float32", "float16", "int8"])
@pytest.mark.parametrize("shard_users", [0, 700])
def test_shards_and_codes_are_searched_as_one_index(build: Build, tmp_path: Path, codes: str, shard_users: int) -> None:
    vectors = points(2_000, dimensions=32)
    index = build(vectors, codes=codes, shard_users=shard_users, recall_neighbours=20)
    assert [shard.users for shard in index.manifest.shards] == ([700, 700, 600] if shard_users else [2_000])
    assert index.manifest.recall >= 0.98
    rows, products = open_index(tmp_path / "index", vectors).search(vectors, 20)
    assert (np.diff(products, axis=1) <= 0).all()
    np.testing.assert_allclose(products, np.einsum("qd,qkd->qk", vectors, vectors[rows]), atol=1e-6)
    assert RecallSample(index.embeddings, np.arange(2_000), 20).recall(index) >= 0.98
    assert (rows[:, :2] == np.arange(2_000)[:, None]).any(axis=1).mean() > 0.99, "rows are numbered across shards"
    assert all(len(set(found)) == 20 for found in rows.tolist())


def test_an_index_of_other_embeddings_is_refused(written: Path) -> None:
    for others in (points(1_200, dimensions=8), points(1_100)):
        with pytest.raises(ArtefactError, match="other embeddings"):
            open_index(written, others)


def test_an_index_of_nobody_finds_nobody(build: Build) -> None:
    for codes in ("float32", "int8"):
        rows, _ = build(np.zeros((0, 16), np.float32), flat_below=0, codes=codes).search(points(2), 3)
        assert (rows == -1).all()


def test_codes_too_coarse_for_the_recall_give_way_to_wider_ones(tmp_path: Path) -> None:
    """Of people who are all alike, what is near is decided by digits that narrow codes do not have."""
    vectors = points(1) + 1e-3 * np.random.default_rng(0).standard_normal((1_500, 16), dtype=np.float32)
    vectors[::50] *= -1  # the range of codes is that of all
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = QUICK.model_copy(update={"recall_neighbours": 20})
    with pytest.raises(GateRefusedError, match="with int8 codes"):
        build_index(vectors, config.model_copy(update={"codes": "int8"}), tmp_path / "index")
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    index = build_index(vectors, config, tmp_path / "index", room=1)
    assert index.manifest.codes != "int8"
    assert index.manifest.recall >= 0.98


def test_a_search_for_more_than_a_shard_holds_goes_through_all_of_them(build: Build) -> None:
    vectors = points(1_100)
    rows, _ = build(vectors, shard_users=500).search(vectors[:3], 1_100)
    assert (np.sort(rows, axis=1) == np.arange(1_100)).all()


def test_a_child_process_builds_it_and_finds_the_nearest_of_the_given_rows(tmp_path: Path) -> None:
    vectors, asked = points(1_100), np.array([5, 0, 700])
    write_array(tmp_path / "embeddings.npy", vectors)
    manifest = build_index_in_own_process(
        tmp_path / "embeddings.npy", tmp_path / "index", tmp_path / "nearest.npy", asked, 30, QUICK
    )
    index = open_index(tmp_path / "index", vectors)
    assert index.manifest == manifest
    nearest = read_array(tmp_path / "nearest.npy", np.int32, (3, 30))
    np.testing.assert_array_equal(nearest, index.nearest_others(asked, 30))


def test_a_child_process_keeps_within_what_the_budget_leaves(tmp_path: Path) -> None:
    vectors = points(3_000)
    write_array(tmp_path / "embeddings.npy", vectors)
    memory_budget.limit(1_000_000_000)
    memory_budget.hold(1_000_000_000)
    try:
        manifest = build_index_in_own_process(
            tmp_path / "embeddings.npy", tmp_path / "index", tmp_path / "nearest.npy", np.arange(3), 30, QUICK
        )
    finally:
        memory_budget.limit(None)
        memory_budget.hold(0)
    assert [shard.users for shard in manifest.shards] == [1_000] * 3
    assert manifest.codes == "int8"


def test_what_another_process_refuses_is_refused_here(tmp_path: Path) -> None:
    write_array(tmp_path / "embeddings.npy", points(1_100, dimensions=32))
    config = QUICK.model_copy(update={"links": 2, "ef_construction": 2, "ef_search": (1,), "recall_least": 1.0})
    with pytest.raises(GateRefusedError, match="efSearch"):
        build_index_in_own_process(
            tmp_path / "embeddings.npy", tmp_path / "index", tmp_path / "nearest.npy", np.arange(3), 30, config
        )
    assert not (tmp_path / "index").exists()


_PARENT = """
import pathlib, sys
import numpy
from models.candidates.config import IndexConfig
from models.candidates.ann_index_builder import build_index_in_own_process
if __name__ == "__main__":
    home = pathlib.Path(sys.argv[1])
    slow = IndexConfig(threads=1, ef_construction=2000, links=64)
    build_index_in_own_process(home / "embeddings.npy", home / "index", home / "nearest.npy", numpy.arange(1), 1, slow)
"""


def children(parent: int) -> list[int]:
    """The processes below one that are at work."""
    at_work = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            building = b"spawn_main" in (directory / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(above) == parent and state != "Z" and building:
            at_work.append(int(directory.name))
    return at_work


@pytest.fixture
def building(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process, in a group of its own, and its child that is building an index for long."""
    random = np.random.default_rng(0).standard_normal((40_000, 64), dtype=np.float32)
    write_array(file := tmp_path / "embeddings.npy", random)
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as parent:
        (child,) = wait_for(lambda: children(parent.pid))
        wait_for(lambda: str(file) in Path(f"/proc/{child}/maps").read_text())
        yield parent, child
        parent.kill()
        if at_work(child):
            os.kill(child, signal.SIGKILL)


def test_the_building_process_ends_when_its_parent_is_killed(building: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = building
    parent.kill()
    wait_for(lambda: not at_work(child))


def test_ctrl_c_ends_both_and_the_child_prints_nothing(building: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = building
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=15)
    assert (parent.returncode, said.count("Traceback"), said.count("KeyboardInterrupt")) == (-signal.SIGINT, 1, 1)
    assert not at_work(child)


def test_a_killed_child_is_distinguished_from_one_that_refuses(building: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = building
    os.kill(child, signal.SIGKILL)
    _, said = parent.communicate(timeout=15)
    assert "PymkError: the process that builds the index was killed, probably out of memory" in said


def at_work(process: int) -> bool:
    """Whether a process is there and not merely unburied."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(ask: Callable[[], Answer]) -> Answer:
    """The first answer that is true, within 15 seconds."""
    deadline = time.monotonic() + 15
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in 15 s"
        time.sleep(0.02)
    return answer
