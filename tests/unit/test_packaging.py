"""What is installed is pinned, and the compose file keeps the promises of the embedded store."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from models.store.embedded.server_process import server_options

ROOT = Path(__file__).parents[2]


def _pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def _needed() -> dict[str, set[str]]:
    """Every distribution that pymk and its extra `dev` install here, by name, and what asks for which versions."""
    found: dict[str, set[str]] = {}
    todo = [("pymk", "dev")]
    seen = set(todo)
    while todo:
        name, extra = todo.pop()
        for text in metadata.requires(name) or ():
            asked = Requirement(text)
            if asked.marker is not None and not asked.marker.evaluate({"extra": extra}):
                continue
            other = canonicalize_name(asked.name)
            found.setdefault(other, set()).add(str(asked.specifier))
            wanted = {(other, more) for more in ("", *asked.extras)} - seen
            if other != "torch":  # its CUDA build names libraries that the CPU build does not
                seen |= wanted
                todo += wanted
    return found


def test_everything_that_is_installed_is_pinned_to_a_version_that_fits() -> None:
    pins, needed = _pins(), _needed()
    assert len(needed) > 50
    assert set(needed) <= set(pins)
    for name, specifiers in needed.items():
        (pin,) = pins[name].specifier
        assert pin.operator == "=="
        for specifier in specifiers:
            assert Requirement(f"{name}{specifier}").specifier.contains(pin.version, prereleases=True), name


def test_pins_are_releases_without_addresses() -> None:
    for name, pin in _pins().items():
        (specifier,) = pin.specifier
        assert pin.url is None
        assert Version(specifier.version).local is None, f"{name}: a build of one index"


def test_the_store_of_the_compose_file_is_as_safe_as_the_embedded_one() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    command = re.search(r"- valkey-server\n((?: +- .*\n)+)", compose)
    assert command is not None
    words = [word.strip(' "') for word in re.findall(r"- (.*)", command[1])]
    told = dict(zip(words[::2], words[1::2], strict=True))
    embedded = server_options(1)
    of_safety = ("--appendonly", "--appendfsync", "--save", "--maxmemory-policy")
    assert {name: told[name] for name in of_safety} == {name: embedded[embedded.index(name) + 1] for name in of_safety}
    assert "--maxmemory" in told


def test_the_night_of_the_compose_file_reaches_whoever_is_told_that_a_version_waits() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    nightly = re.search(r"^  nightly:\n((?:    .*\n|\n)+)", compose, re.MULTILINE)
    assert nightly is not None
    assert "    networks: [inside, outside]\n" in nightly[1], "PYMK_APPROVAL_WEBHOOK is on no internal network"
    assert "    ports:" not in nightly[1]


def test_the_wheel_packs_every_file_of_the_packages_and_git_ignores_none_of_them() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert build == {"targets": {"wheel": {"packages": ["models", "offline", "service"]}}}
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for suffix in (".lua", ".html", ".css", ".js"):
        assert next(ROOT.glob(f"[ms]*/**/*{suffix}"), None) is not None
        assert not any(pattern.endswith(suffix) for pattern in ignored)
