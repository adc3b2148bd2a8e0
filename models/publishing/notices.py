"""Tells a webhook or a command that a version waits for an approval."""

import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from models.version.manifest import Manifest

TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Notices:
    """Who is told. A notice that fails is logged: the version waits all the same."""

    webhook: str | None = None
    """address that is posted to"""
    command: str | None = None
    """command and arguments, as a shell splits them"""

    def waiting(self, manifest: Manifest) -> None:
        """Tells that a version waits: its id, and the figures that its gate found."""
        told: dict[str, Any] = {
            "event": "waiting_for_approval",
            "version": manifest.version,
            "created_at": manifest.created_at,
            "users": manifest.users,
            "connections": manifest.connections,
            "metrics": manifest.metrics,
            "forced": manifest.forced,
            "approve": f"pymk approve {manifest.version}",
            "reject": f"pymk reject {manifest.version}",
        }
        content = orjson.dumps(told)
        if self.webhook is not None:
            self._post(self.webhook, content)
        if self.command is not None:
            self._run(self.command, manifest.version, content)

    @staticmethod
    def _post(address: str, content: bytes) -> None:
        import httpx

        try:
            answer = httpx.post(
                address, content=content, headers={"Content-Type": "application/json"}, timeout=TIMEOUT_S
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warning("notice_failed", by="webhook", error=str(error))

    @staticmethod
    def _run(command: str, version: str, content: bytes) -> None:
        try:
            words = [*shlex.split(command), version]
            ran = subprocess.run(words, input=content, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("notice_failed", by="command", error=str(error))
            return
        if ran.returncode:
            error_text = ran.stderr.decode(errors="replace").strip()[:500]
            log.warning("notice_failed", by="command", exit_status=ran.returncode, error=error_text)
