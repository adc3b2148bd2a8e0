"""The files and sockets of the embedded store of a home."""

import fcntl
import os
from pathlib import Path

from models.errors import StoreUnavailableError


class StoreDirectory:
    """`HOME/store`, held open.

    Sockets are addressed through the open directory (`/proc/self/fd/N/NAME`), because a socket path has at most 107
    bytes and the path of a home may be longer.
    """

    def __init__(self, home: Path) -> None:
        """Creates and opens the directory; raises StoreUnavailableError if it cannot be written."""
        self.path = home.absolute() / "store"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self.unusable(error) from error

    @property
    def supervisor_socket(self) -> str:
        """Address of the supervisor, valid in this process while the directory is open."""
        return f"/proc/self/fd/{self._descriptor}/supervisor.sock"

    @property
    def server_socket(self) -> str:
        """Address of the server, valid in this process while the directory is open."""
        return f"/proc/self/fd/{self._descriptor}/server.sock"

    @property
    def log(self) -> Path:
        """The log of supervisor and server."""
        return self.path / "supervisor.log"

    def lock(self) -> int | None:
        """The descriptor of the lock of this store, or None if another process holds it.

        The lock belongs to the open file, not to the process: the command that takes it passes it to the supervisor,
        which passes it to the server. So it is free if and only if both have ended.
        Raises StoreUnavailableError if the directory cannot be written.
        """
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self.unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise self.unusable(error) from error
        return descriptor

    def last_log_lines(self, count: int = 5) -> str:
        """The end of the log for an error message; empty if there is none."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 4096))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def unusable(self, error: OSError) -> StoreUnavailableError:
        """The error of a directory that cannot be created, opened or written."""
        return StoreUnavailableError(
            f"The embedded store cannot use {self.path}: {error.strerror or error}. "
            "Set PYMK_HOME to a directory that can be written, or PYMK_REDIS_URL to a store elsewhere."
        )

    def close(self) -> None:
        """Closes the directory; its addresses are invalid afterwards."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
