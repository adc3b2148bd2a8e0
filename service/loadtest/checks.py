"""Checks a few answers before and during the load, since a fast wrong answer is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from typing import Any

import httpx

from models.errors import PymkError
from service.loadtest.http_requests import RECOMMENDATIONS, UNKNOWN_PREFIX, VERSION, Target
from service.loadtest.viewers import Facts, NoFacts

SERVED = frozenset({"ranked", "cache", "stale", "cold_start", "empty"})
_OK, _UNAUTHORISED, _FORBIDDEN = 200, 401, 403
_MAX_FAULTS = 5


@dataclass
class Checks:
    """The number of answers checked, and their faults."""

    answers: int = 0
    unanswered: int = 0
    """without status 200; the load counts those"""
    faults: list[str] = field(default_factory=list)


class Checker:
    """Requests lists by httpx, apart from the load, and checks them."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        self.checks = Checks()
        self._target = target
        self._client = httpx.Client(
            base_url=target.origin + target.prefix, headers=target.headers, timeout=timeout_s, trust_env=False
        )
        self._facts: Facts = NoFacts()
        self._viewers = cycle([(f"{UNKNOWN_PREFIX}check", False)])

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def version(self) -> dict[str, Any]:
        """The version that the service serves. Raises PymkError if it does not answer, or refuses this key."""
        try:
            answer = self._client.get(VERSION)
        except httpx.HTTPError as error:
            raise PymkError(f"no service answers at {self._target.origin}: {error}") from error
        if answer.status_code in {_UNAUTHORISED, _FORBIDDEN}:
            raise PymkError(
                f"{self._target.origin} needs a key with the scope read (status {answer.status_code}): "
                "set it in the environment as PYMK_LOADTEST_KEY"
            )
        if answer.status_code != _OK:
            raise PymkError(f"{self._target.origin}{VERSION} answers {answer.status_code}: {answer.text[:200]}")
        try:
            served: dict[str, Any] = answer.json()
            served["version"].lower()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PymkError(f"{self._target.origin} is not this service; it answers {answer.text[:80]!r}") from error
        return served

    def set_viewers(self, facts: Facts, viewers: Sequence[str]) -> None:
        """Sets the viewers to request, and the facts that their lists are checked against."""
        self._facts = facts
        each = [(viewer, fresh) for viewer in viewers for fresh in (False, False, True)]
        self._viewers = cycle([*each, (f"{UNKNOWN_PREFIX}check", False)])

    def check_next(self) -> None:
        """Checks the next answer; a missing one is only counted."""
        viewer, fresh = next(self._viewers)
        target = self._target
        try:
            answer = self._client.get(
                RECOMMENDATIONS,
                params={"user_id": viewer, "limit": target.limit, "context": target.context},
                headers={"Cache-Control": "no-cache"} if fresh else {},
            )
        except httpx.HTTPError:
            self.checks.unanswered += 1
            return
        if answer.status_code != _OK:
            self.checks.unanswered += 1
            return
        self.checks.answers += 1
        try:
            wrong = faults(answer.json(), viewer, target.limit, self._facts)
            if fresh and answer.json().get("served") == "cache":
                wrong.append("served from the cache in spite of Cache-Control: no-cache")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            wrong = [f"not the documented shape: {error!r}"]
        if len(self.checks.faults) < _MAX_FAULTS:
            self.checks.faults += [f"{viewer}: {one}" for one in wrong]


def faults(answer: dict[str, Any], viewer: str, limit: int, facts: Facts) -> list[str]:
    """The faults of a list, in words. Raises KeyError, TypeError or ValueError for another shape."""
    served, listed = answer["served"], answer["recommendations"]
    shown = [one["user_id"] for one in listed]
    scores = [float(one["score"]) for one in listed]
    is_identified = bool(answer["request_id"] and answer["version"])
    holds = {
        f"it is the list of {answer['user_id']!r}": answer["user_id"] == viewer,
        f"served is {served!r}": served in SERVED,
        "it names no request or version": is_identified,
        f"it has {len(listed)} users, more than the limit of {limit}": len(listed) <= limit,
        "it shows its own viewer": viewer not in shown,
        "it shows a user twice": len(set(shown)) == len(shown),
        "a score is not between 0 and 1": all(0 <= score <= 1 for score in scores),
        "scores rise with the position": all(after <= before for before, after in pairwise(scores)),
        "positions do not count from 1": [one["position"] for one in listed] == list(range(1, len(listed) + 1)),
        "sources or reasons are malformed": all(_is_well_formed(one) for one in listed),
    }
    wrong = [fault for fault, right in holds.items() if not right]
    if served != "stale":  # such a list is of another version than the facts
        hidden = facts.forbidden(answer["version"], viewer, shown)
        wrong += [f"{other} is shown, who is {why}" for other, why in hidden.items()]
    return wrong


def _is_well_formed(one: dict[str, Any]) -> bool:
    """Whether the sources and reasons of a candidate have their documented shape."""
    return isinstance(one["sources"], list) and all(reason["code"] and reason["text"] for reason in one["reasons"])
