"""The versions on disk: whole ones only, and no more than are wanted."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.errors import ArtefactError, VersionError
from models.version.local_versions import Versions, new_id


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_ids_sort_by_the_start_of_the_run() -> None:
    early = new_id(datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC))
    late = new_id(datetime(2026, 2, 1, tzinfo=UTC))
    assert early.startswith("20260131T235959Z-")
    assert early < late
    assert len({new_id() for _ in range(50)}) == 50


def test_an_empty_home_has_no_versions(tmp_path: Path) -> None:
    assert Versions(tmp_path / "none").ids() == []
    assert Versions(tmp_path / "none").sweep(()) == []


@pytest.mark.parametrize("version", ["", "latest", "../../etc", "20260101T000000Z-ABCDEF", "20260101T000000Z-000000\n"])
def test_only_version_ids_become_paths(tmp_path: Path, version: str) -> None:
    with pytest.raises(VersionError, match="no version id"):
        Versions(tmp_path).path(version)


def test_a_version_that_fails_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    versions = Versions(tmp_path)

    def interrupted() -> None:
        with versions.staging(new_id()) as directory:
            (directory / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ArtefactError, match="manifest"), versions.staging(new_id()) as directory:
        (directory / "all but the manifest").touch()
    assert versions.ids() == []
    assert _names(versions.directory) == [".staging.lock"]


def test_a_finished_version_takes_its_place(tmp_path: Path, written_version: Path) -> None:
    versions, version = Versions(tmp_path), "20260101T000000Z-0a1b2c"
    with versions.staging(version) as directory:
        shutil.copytree(written_version, directory, dirs_exist_ok=True)
        assert versions.ids() == []
    assert versions.ids() == [version]
    assert versions.is_whole(version)
    assert versions.manifest(version).users == 8
    (versions.path(version) / "report.json").unlink()
    assert not versions.is_whole(version)


def test_unknown_and_misnamed_versions_are_refused_by_name(tmp_path: Path, make_version) -> None:
    versions, version = Versions(tmp_path), make_version()
    other = "20270101T000000Z-000000"
    with pytest.raises(VersionError, match=other):
        versions.manifest(other)
    versions.path(version).rename(versions.path(other))
    with pytest.raises(ArtefactError, match=version):
        versions.manifest(other)


def test_sweep_keeps_the_protected_and_then_the_newest(tmp_path: Path, make_version) -> None:
    versions = Versions(tmp_path)
    made = [make_version() for _ in range(5)]
    assert versions.sweep((made[1], made[0])) == [made[3], made[2]]
    assert versions.ids() == [made[4], made[1], made[0]]
    assert versions.sweep((made[1], made[0]), keep=1) == [made[4]]
    assert versions.ids() == [made[1], made[0]], "neither the active one nor the one before ever goes"


def test_sweep_removes_what_dead_runs_left_and_not_what_is_being_made(tmp_path: Path, make_version) -> None:
    versions, kept = Versions(tmp_path), make_version()
    left = versions.directory / ".staging-20260101T000000Z-ffffff"
    left.mkdir()
    (versions.directory / ".20260101T000000Z-eeeeee.99.old").mkdir()

    def sweep_meanwhile() -> None:
        with versions.staging("20260101T000000Z-dddddd") as directory:
            versions.sweep(())
            assert directory.exists()

    with pytest.raises(ArtefactError, match="manifest"):  # it was not swept away, only never finished
        sweep_meanwhile()
    assert left.exists()
    versions.sweep(())
    assert _names(versions.directory) == [".staging.lock", kept]


def test_one_process_at_a_time_switches(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    with versions.switching(), pytest.raises(VersionError, match="another pymk"), versions.switching(wait_s=0.1):
        pass
    with versions.switching(wait_s=0):
        pass
