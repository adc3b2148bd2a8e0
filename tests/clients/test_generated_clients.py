"""Clients that generators make of the OpenAPI document, without a warning, and called against a running service.

The generators are in an environment of their own, which .ci/run makes:

    python3 -m venv .venv-clients && .venv-clients/bin/pip install -q -r tests/clients/requirements.txt
    .venv-clients/bin/npm --prefix tests/clients ci --ignore-scripts

Without it these tests are skipped, but not in CI.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.settings import Settings
from service.app import create_app
from tests.support.homes import Home
from tests.support.versions import make_servable

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent
TOOLS = ROOT / ".venv-clients" / "bin"
PACKAGES = CLIENTS / "node_modules"
TIMEOUT_S = 120.0
SAID = {
    "ready": "ready",
    "first": [["gus", {"name": "Gus"}]],
    "second": ["fay"],
    "many": [["cid", "ranked", 2], ["nobody", "cold_start", 2]],
    "put": 2,
    "profile": {"name": "Ann", "company": "Acme"},
    "accepted": 1,
    "after": ["fay", "eva"],
    "wrong": [422, 422, "context"],
}
"""what both clients are answered, one after the other's calls on a service of its own"""

pytestmark = pytest.mark.skipif(
    not (TOOLS.exists() and PACKAGES.exists()) and not os.environ.get("CI"),
    reason="no .venv-clients: the head of this file says how to make it",
)


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a generator or client; fails with what it said otherwise."""
    environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    ended = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The OpenAPI document as a file."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(create_app(Settings()).openapi()))
    return path


@pytest.fixture
def url(tmp_path: Path, make_version: Callable[..., str]) -> Iterator[str]:
    """A running service with the version of eight people, on the embedded store."""
    make_servable(tmp_path, make_version(tmp_path))
    home = Home(tmp_path)
    home.publish()
    with home.serving() as service:
        yield service.url


def test_openapi_python_client_generates_without_a_warning_and_its_client_works(
    document: Path, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "generated"
    folder.mkdir()
    generator = ("openapi-python-client", "generate", "--path", document, "--meta", "none", "--fail-on-warning")
    said = run(TOOLS / generator[0], *generator[1:], "--output-path", folder / "pymk_client", cwd=folder)
    assert "warning" not in said.lower()
    answered = run(TOOLS / "python", CLIENTS / "call_python_client.py", url, folder, cwd=folder)
    assert json.loads(answered) == SAID


def test_openapi_typescript_generates_without_a_warning_and_its_client_works(
    document: Path, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "generated"
    folder.mkdir()
    (folder / "node_modules").symlink_to(PACKAGES)
    for name in ("call_typescript_client.ts", "package.json", "tsconfig.json"):
        shutil.copy(CLIENTS / name, folder)
    said = run(PACKAGES / ".bin" / "openapi-typescript", document, "--output", "api.d.ts", cwd=folder)
    assert "warn" not in said.lower()
    run(PACKAGES / ".bin" / "tsc", "--project", ".", cwd=folder)
    answered: Any = json.loads(run("node", "call_typescript_client.ts", url, cwd=folder))
    assert answered == SAID
