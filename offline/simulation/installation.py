"""The real service in a directory of its own: store, worker and service as processes, reached over HTTP."""

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import typer

from models.cli.subprocesses import Children
from models.errors import GateRefusedError, PymkError
from models.experiments.experiment import Experiment
from models.experiments.registry import read as read_experiments
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import SHARDS, Keys
from models.system.toml_file import read_model

_HOST = "127.0.0.1"
_READY_S = 180.0
_SETTLED_S = 300.0
_POLL_S = 0.1
FLUSH_S = 1.0
"""a service process writes the lists that it gave out within half of that"""
LISTS_AT_ONCE = 100
EVENTS_AT_ONCE = 5000


class Installation:
    """Processes of one home. Must be used from the main thread; leaving the context of `opened` ends all of them."""

    def __init__(self, directory: Path, children: Children, client: httpx.Client, port: int) -> None:
        self._directory, self._children, self._client, self._port = directory, children, client, port
        self._settings = Settings()
        self._keys = Keys(self._settings.namespace)

    @classmethod
    @contextmanager
    def opened(cls, directory: Path, settings: Mapping[str, Any]) -> Iterator["Installation"]:
        """An installation with these settings in `directory`/home, whose logs are in `directory`/logs."""
        (directory / "logs").mkdir(exist_ok=True)
        own = {
            "PYMK_HOME": str(directory / "home"),
            **{f"PYMK_{name.upper()}": str(settings[name]) for name in settings},
        }
        before = {name: value for name, value in os.environ.items() if name.startswith("PYMK_")}
        for name in before:
            del os.environ[name]
        os.environ.update(own)
        try:
            port = _free_port()
            with (
                Children() as children,
                httpx.Client(base_url=f"http://{_HOST}:{port}", timeout=60.0, trust_env=False) as client,
            ):
                yield cls(directory, children, client, port)
        finally:
            for name in own:
                os.environ.pop(name, None)
            os.environ.update(before)

    def run(self, *command: str) -> str:
        """What a command prints on stdout.

        Raises PymkError with the end of its log if it fails, GateRefusedError if the gate refuses a night's version.
        """
        path = self._log(command[0])
        with path.open("a", encoding="utf-8") as log:
            try:
                return self._children.run(*command, stderr=log)
            except typer.Exit as end:
                log.flush()
                last = path.read_text(encoding="utf-8").strip().splitlines()[-1:]
                said = last[0] if last else "it said nothing"
                kind = GateRefusedError if end.exit_code == GateRefusedError.exit_status else PymkError
                raise kind(f"pymk {command[0]} failed with status {end.exit_code}: {said}; see {path}") from end

    def is_running(self, file: Path) -> bool:
        """Whether the experiment of a file was started."""
        store = open_sync(self._settings)
        try:
            name = read_model(file, Experiment).name
            return any(run.name == name for run in read_experiments(store, keys=self._keys).runs)
        finally:
            store.close()

    def night(self, data: Path, config: Path | None, *, force: bool) -> str:
        """Runs a night; returns the version. Raises GateRefusedError if the gate refuses it."""
        options = [] if config is None else ["--config", str(config)]
        options += ["--force"] if force else []
        return self.run("nightly", str(data), *options).strip().splitlines()[-1]

    def start(self) -> None:
        """Starts worker and service, and returns once the service is ready."""
        for command in (("worker",), ("serve", "--port", str(self._port))):
            with self._log(command[0]).open("a", encoding="utf-8") as log:
                self._children.start(*command, stdout=log, stderr=log)
        deadline = time.monotonic() + _READY_S
        while not self._is_ready():
            self._check(deadline, "the service is not ready")

    def serving(self, version: str) -> None:
        """Returns once the service serves a version."""
        deadline = time.monotonic() + _READY_S
        while self._request("GET", "/pymk/version").json().get("version") != version:
            self._check(deadline, f"the service does not serve {version}")

    def lists(self, user_ids: Sequence[str], context: str, limit: int, request: str) -> list[dict[str, Any]]:
        """The lists of viewers in one context, in their order; `request` begins the ids of the requests."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(user_ids), LISTS_AT_ONCE):
            body = {"user_ids": list(user_ids[start : start + LISTS_AT_ONCE]), "limit": limit, "context": context}
            own = {"X-Request-ID": f"{request}-{start // LISTS_AT_ONCE}"}
            found += self._request("POST", "/pymk/recommendations", json=body, headers=own).json()["lists"]
        return found

    def post(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Sends events in their order."""
        for start in range(0, len(events), EVENTS_AT_ONCE):
            self._request("POST", "/pymk/events", json=list(events[start : start + EVENTS_AT_ONCE]))

    def put(self, user_id: str, profile: Mapping[str, Any]) -> None:
        """Registers a person."""
        self._request("PUT", f"/pymk/users/{quote(user_id, safe='')}", json=dict(profile))

    def settle(self, *, filed: bool) -> None:
        """Returns once the worker has applied every event and made all candidates; with `filed` also filed lists."""
        if filed:
            time.sleep(FLUSH_S)
        deadline = time.monotonic() + _SETTLED_S
        store = open_sync(self._settings)
        try:
            while (
                store.queue_length(self._keys.refresh)
                or any(store.stream_length(self._keys.log(shard)) for shard in range(SHARDS))
                or (filed and store.stream_length(self._keys.exposure_log))
            ):
                self._check(deadline, "the worker has not caught up")
        finally:
            store.close()

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        self._children.check()
        try:
            found = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            self._children.check()
            raise PymkError(f"{method} {path} was not answered: {error}; see {self._log('serve')}") from error
        if found.status_code >= HTTPStatus.BAD_REQUEST:
            raise PymkError(f"{method} {path} was answered {found.status_code}: {found.text[:300]}")
        return found

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/health/ready").status_code == HTTPStatus.OK
        except httpx.HTTPError:  # not listening yet
            return False

    def _check(self, deadline: float, what: str) -> None:
        """Waits a moment. Raises PymkError if a process has ended, or the deadline has passed."""
        self._children.check()
        if time.monotonic() > deadline:
            raise PymkError(f"{what} in time; see the logs in {self._directory / 'logs'}")
        time.sleep(_POLL_S)

    def _log(self, command: str) -> Path:
        return self._directory / "logs" / f"{command}.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
