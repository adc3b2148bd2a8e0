"""A manifest says what a version is made of, and notices what is not as it says."""

import json
import shutil
from pathlib import Path

import pytest

from models.errors import ArtefactError
from models.version.manifest import LAYOUT, Manifest

GOLDEN = Path(__file__).parents[3] / "golden" / "version-1"


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "version"))


def test_a_whole_version_passes(version: Path) -> None:
    manifest = Manifest.read(version)
    manifest.verify(version)
    assert manifest.is_whole(version)
    assert Manifest.parse(manifest.encode(), "memory") == manifest


@pytest.mark.parametrize("name", sorted(Manifest.read(GOLDEN).files))
def test_every_file_is_missed_and_every_change_noticed(version: Path, name: str) -> None:
    manifest, path = Manifest.read(version), version / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtefactError, match=f"{name} is altered"):
        manifest.verify(version)
    path.write_bytes(content[:-1])
    assert not manifest.is_whole(version)
    with pytest.raises(ArtefactError, match=f"{name} has {len(content) - 1} bytes"):
        manifest.verify(version)
    path.unlink()
    with pytest.raises(ArtefactError, match=f"{name} of version .* is missing"):
        manifest.verify(version)


def test_only_the_named_rooms_are_verified(version: Path) -> None:
    manifest = Manifest.read(version)
    shutil.rmtree(version / "blocks")
    manifest.verify(version, ("tables", "model"))
    with pytest.raises(ArtefactError, match="blocks"):
        manifest.verify(version, ("blocks",))


def _altered(version: Path, **fields: object) -> None:
    path = version / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "tables/../../x", "", "tables//flags.npy"])
def test_a_path_out_of_the_version_is_refused(version: Path, name: str) -> None:
    _altered(version, files={name: {"bytes": 0, "sha256": "0" * 64}})
    with pytest.raises(ArtefactError, match="no path inside a version"):
        Manifest.read(version)


def test_a_later_layout_is_refused_and_unknown_fields_are_not(version: Path) -> None:
    _altered(version, something_later=1)
    assert Manifest.read(version).users == 8
    _altered(version, layout=LAYOUT + 1)
    with pytest.raises(ArtefactError, match="layout"):
        Manifest.read(version)


def test_a_cut_off_manifest_is_refused_by_name(version: Path) -> None:
    path = version / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=r"manifest\.json cannot be read"):
        Manifest.read(version)


def test_the_cut_of_live_events_is_the_one_of_the_dataset_where_there_were_none() -> None:
    manifest = Manifest.read(GOLDEN)
    assert manifest.live_cut is None
    assert manifest.cut_us == int(manifest.cut.timestamp()) * 10**6
    assert manifest.model_copy(update={"live_cut": 17}).cut_us == 17
