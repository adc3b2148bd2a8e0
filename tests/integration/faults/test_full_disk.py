"""A full disk stops a command with one line that says what is full, what is wanted and what to clear; a real one."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import DiskFullError
from models.event_log.archive.archive import Archive
from models.event_log.event import Entry
from models.system import files
from models.version.local_versions import Versions
from offline.night.config import NightConfig
from offline.synth import directory as synth
from offline.synth.network import generate
from tests.support.nights import NightHarness, make_untrained_night, untrained_bundle

KB = 1024
SIZE = r"[\d.]+ (bytes|KB|MB)"
LINE = rf": the disk is full: (more is|{SIZE} are) wanted, and {SIZE} of {SIZE} are free on "


class SmallDisk:
    """A file system in memory of a few kilobytes."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def resize(self, kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", self.at], check=True)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.at)) for path in self.at.rglob("*") if path.is_file())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    at = tmp_path / "disk"
    at.mkdir()
    if sys.platform != "linux" or not shutil.which("mount"):
        pytest.skip("no file system of a given size can be mounted here")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", at], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this user may mount nothing: {mounted.stderr.decode().strip()}")
    yield SmallDisk(at)
    subprocess.run(["umount", "-l", at], check=True)


def test_an_array_that_does_not_fit_says_how_much_it_wants(small_disk: SmallDisk) -> None:
    path = small_disk.at / "kept.npy"
    files.write_array(path, np.arange(3))
    with pytest.raises(DiskFullError) as raised:
        files.write_array(path, np.zeros(150_000))
    mounted = re.escape(str(small_disk.at))
    wanted = r"1\.2 MB are wanted, and [\d.]+ (bytes|KB) of 65\.5 KB are free on "
    assert re.fullmatch(rf"{mounted}/kept\.npy: the disk is full: {wanted}{mounted}", str(raised.value))
    assert small_disk.files() == ["kept.npy"], "nothing half-made"
    assert files.read_array(path, np.int64, (3,)).tolist() == [0, 1, 2], "what was there is there"


def test_polars_and_synth_tell_it_likewise(small_disk: SmallDisk) -> None:
    out = small_disk.at / "DATA"
    with pytest.raises(DiskFullError, match=re.escape(str(out)) + ".*" + LINE):
        synth.write(generate(2000, 12, seed=3), out)
    assert small_disk.files() == []


@pytest.mark.slow
def test_a_version_is_whole_or_not_there_however_small_the_disk(small_disk: SmallDisk, small_network: Path) -> None:
    versions = Versions(small_disk.at / "home")
    versions.directory.mkdir(parents=True)
    full: dict[str, str] = {}
    for kilobytes in [64, 100, 200, 1000, 4400, 4600, 4800, 5000, 5500, 6000, 7000, 32_000]:
        small_disk.resize(kilobytes)
        made = None
        try:
            made = make_untrained_night(small_network, versions, 1, None, untrained_bundle)
        except DiskFullError as error:
            full[re.sub(r".*/([\w.]+): the disk is full.*", r"\1", str(error))] = str(error)
        for snapshot in versions.home.glob("snapshot-*"):
            shutil.rmtree(snapshot)  # the night's own is in its workspace
        left = [name for name in small_disk.files() if not name.endswith(".lock")]
        assert (left == []) is (made is None), f"half-made at {kilobytes} KB: {left}"
        if made is not None:
            versions.manifest(made).verify(versions.path(made))
            versions.remove(made)
    assert made is not None, "32 MB are enough"
    assert len(full) > 3, f"the disk was full in {list(full)} alone"
    assert [said for said in full.values() if not re.search(LINE + re.escape(str(small_disk.at)), said)] == []


def test_the_archive_of_events_keeps_what_it_has(small_disk: SmallDisk) -> None:
    def entry(number: int, event_id: str = "") -> tuple[str, bytes]:
        event = Entry("block", "ann", number, other_id="bea", at=number, event_id=event_id or None)
        return f"{number}-0", event.encode()

    archive = Archive(small_disk.at)
    assert archive.append(0, [entry(1)]) == 1
    with pytest.raises(DiskFullError, match=r"jsonl" + LINE + r".*; in .* the most is taken by events .*\. Make room"):
        archive.append(0, [entry(2), entry(3, "x" * 100 * KB)])
    assert Archive(small_disk.at).last(0) in ("1-0", "2-0"), "whole lines alone count"
    small_disk.resize(1000)
    archive.append(0, [entry(2), entry(3)], "1-0")
    assert [position for position, _ in archive.read(0, "3-0")] == ["1-0", "2-0", "3-0"]


@pytest.mark.slow
def test_a_night_on_a_full_disk_says_what_to_clear_and_goes_on_later(
    small_disk: SmallDisk, small_network: Path, small_night: Path
) -> None:
    small_disk.resize(400)
    home = small_disk.at / "home"
    harness = NightHarness(home, small_network, NightConfig.read(small_night))
    home.mkdir()
    (home / "notes.txt").write_bytes(b"x" * 100 * KB)
    with pytest.raises(DiskFullError) as raised:
        harness.night()
    said = str(raised.value)
    assert re.search(LINE + re.escape(str(small_disk.at)), said)
    assert re.search(rf"; in {re.escape(str(home))} the most is taken by .*notes\.txt 10\d\.\d KB", said)
    assert said.endswith(
        "Make room on that disk and run it again: what was finished is kept, and nothing half-made is left"
    )
    assert harness.active is None
    small_disk.resize(64 * KB)
    made = replace(harness).night()
    assert harness.active == made.version
    made.verify(harness.versions.path(made.version))
