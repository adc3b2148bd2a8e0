"""Tells a webhook or a command that a version waits for an approval."""

import shlex
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from models.version.manifest import Manifest

TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Notices:
    """Who is told. A notice that fails is logged, and the next night tries again: the version waits all the same."""

    webhook: str | None = None
    """address that is posted to"""
    command: str | None = None
    """command and arguments, as a shell splits them"""

    @property
    def ways(self) -> set[str]:
        """The ways by which somebody is told."""
        given = {"webhook": self.webhook, "command": self.command}
        return {way for way, how in given.items() if how is not None}

    def waiting(self, manifest: Manifest, told_by: Collection[str] = ()) -> set[str]:
        """Tells that a version waits: its id, and the figures that its gate found; returns the ways that worked.

        Those in `told_by` are left out: they worked before.
        """
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
        worked: set[str] = set()
        if self.webhook is not None and "webhook" not in told_by and self._post(self.webhook, content):
            worked.add("webhook")
        if self.command is not None and "command" not in told_by and self._run(self.command, manifest.version, content):
            worked.add("command")
        return worked

    @staticmethod
    def _post(address: str, content: bytes) -> bool:
        import httpx

        try:
            answer = httpx.post(
                address, content=content, headers={"Content-Type": "application/json"}, timeout=TIMEOUT_S
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warning("notice_failed", by="webhook", error=str(error))
            return False
        return True

    @staticmethod
    def _run(command: str, version: str, content: bytes) -> bool:
        try:
            words = [*shlex.split(command), version]
            ran = subprocess.run(words, input=content, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("notice_failed", by="command", error=str(error))
            return False
        if ran.returncode:
            error_text = ran.stderr.decode(errors="replace").strip()[:500]
            log.warning("notice_failed", by="command", exit_status=ran.returncode, error=error_text)
        return not ran.returncode
