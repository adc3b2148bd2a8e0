"""What the parts of a worker say of faults: one line when a fault begins, and one when the store is back."""

import threading
import time
from collections import Counter

import structlog

from models.errors import PymkError, StoreError


class Contact:
    """Faults of the worker's parts, each of which runs in a thread of its own. A fault that lasts is logged once."""

    def __init__(self) -> None:
        self.failures = Counter[str]()
        """failures since the worker started, by part"""
        self._lock = threading.Lock()
        self._away: set[str] = set()
        """parts whose last call to the store failed"""
        self._away_since = 0.0
        self._said: dict[str, str] = {}

    @property
    def is_away(self) -> bool:
        """Whether the store did not answer last."""
        return bool(self._away)

    def fault(self) -> str | None:
        """What some part waits for, as it was logged; None if all of them work."""
        with self._lock:
            return "; ".join(self._said.values()) or ("the store does not answer" if self.is_away else None)

    def failed(self, part: str, event: str, error: Exception) -> None:
        """Counts a failure of a part, and logs it as `event` unless the same was logged for it last.

        A store that does not answer, or refuses, is one line for all parts.
        """
        self.failures[part] += 1
        if isinstance(error, StoreError):
            with self._lock:
                is_new = not self._away
                self._away.add(part)
            if is_new:
                self._away_since = time.monotonic()
                structlog.get_logger().warning("store_away", error=str(error))
            return
        is_known = isinstance(error, (PymkError, OSError))
        if self._is_new(part, str(error) if is_known else f"{type(error).__name__}: {error}"):
            details = {"error": str(error)} if is_known else {"exc_info": error}
            structlog.get_logger().error(event, part=part, **details)

    def waits(self, part: str, reason: str) -> None:
        """Logs what a part waits for, unless that was logged for it last."""
        if self._is_new(part, reason):
            structlog.get_logger().info("worker_waits", part=part, reason=reason)

    def worked(self, part: str) -> None:
        """Ends the fault of a part, or what it waits for."""
        with self._lock:
            self._said.pop(part, None)
        self.answered(part)

    def answered(self, part: str) -> None:
        """Logs that the store is back, once it has answered every part to which it did not."""
        with self._lock:
            is_back = self._away == {part}
            self._away.discard(part)
        if is_back:
            structlog.get_logger().info("store_back", away_s=round(time.monotonic() - self._away_since, 1))

    def _is_new(self, part: str, text: str) -> bool:
        with self._lock:
            is_new = self._said.get(part) != text
            self._said[part] = text
        return is_new
