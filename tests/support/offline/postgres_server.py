"""A PostgreSQL server of its own for tests, from the binaries of the system."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "not a secret"
START_S = 60


def server_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[str]:
    """Runs an empty server on a free port of the loopback address; yields the connection string without a password.

    The role `pymk` has PASSWORD. A server refuses to run as root: then the account postgres or nobody owns it.
    """
    owner: dict[str, Any] = {}
    home = Path(tempfile.mkdtemp(prefix="pymk-postgres-"))
    if os.geteuid() == 0:
        account = _account()
        os.chown(home, account.pw_uid, account.pw_gid)
        owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        _initialise(binaries, home, owner)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["-D", str(home / "data"), "-k", str(home), "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen([str(binaries / "postgres"), *options], cwd=home, stdout=log, stderr=log, **owner)
        try:
            _wait(server, port, home / "log")
            yield f"postgresql://pymk@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # the fast way down
            server.wait(START_S)
    finally:
        shutil.rmtree(home)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _initialise(binaries: Path, home: Path, owner: dict[str, Any]) -> None:
    secret = home / "password"
    secret.write_text(f"{PASSWORD}\n")
    if owner:
        os.chown(secret, owner["user"], owner["group"])
    options = ["-U", "pymk", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(
        [binaries / "initdb", "-D", home / "data", *options], cwd=home, capture_output=True, check=False, **owner
    )
    if made.returncode:
        raise RuntimeError(made.stderr.decode())


def _wait(server: "subprocess.Popen[Any]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)) and "ready to accept" in log.read_text():
                return
        time.sleep(0.05)
    raise RuntimeError(log.read_text())
