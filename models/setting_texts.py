"""Values of settings that are written as one text: limits by context and scope, powers, keys with scopes, shares."""

from collections.abc import Callable, Mapping
from math import ceil
from types import MappingProxyType
from typing import NamedTuple

from pydantic import SecretStr


class ContextLimit(NamedTuple):
    """Limits of a list in one context."""

    most: int
    """candidates"""
    least_score: float = 0.0


class RateLimit(NamedTuple):
    """The token bucket of a scope."""

    rate: float
    """tokens that it gains a second, one of which a request takes"""
    burst: int
    """tokens that it holds at most"""


SCOPES = frozenset({"read", "write", "admin"})
"""the scopes of a key"""


def parse_context_limits(text: str) -> dict[str, ContextLimit]:
    """The limits of `context:most:score,...`, with optional score. Raises ValueError for another form."""
    limits: dict[str, ContextLimit] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        context, _, rest = entry.partition(":")
        most, _, score = rest.partition(":")
        try:
            limits[context] = ContextLimit(int(most), float(score) if score else 0.0)
        except ValueError as error:
            raise ValueError(f"{entry!r} is not of the form CONTEXT:MOST or CONTEXT:MOST:SCORE") from error
    return limits


def check_context_limits(limits: dict[str, ContextLimit]) -> dict[str, ContextLimit]:
    """The same limits. Raises ValueError if one shows nobody."""
    for context, limit in limits.items():
        if limit.most < 1 or not 0 <= limit.least_score <= 1:
            raise ValueError(f"{context} needs at least one person and a score from 0 to 1")
    return limits


BLENDED = ("friendship", "invited", "accepted", "dismissed")
"""the probabilities whose powers a blend of heads of outcomes has, in the order of its arrays"""
MOST_POWER = 10.0


def parse_blend(text: str) -> dict[str, float]:
    """The powers of `accepted:2,dismissed:0.5,...`. Raises ValueError for another form."""
    powers: dict[str, float] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, power = entry.partition(":")
        try:
            powers[name] = float(power)
        except ValueError as error:
            raise ValueError(f"{entry!r} is not of the form NAME:POWER") from error
    return powers


def check_blend(powers: dict[str, float]) -> dict[str, float]:
    """The same powers. Raises ValueError if one is of no probability of a blend, or all are 0."""
    for name, power in powers.items():
        if name not in BLENDED:
            raise ValueError(f"{name} is not among {', '.join(BLENDED)}")
        if not 0 <= power <= MOST_POWER:
            raise ValueError(f"{name}:{power:g} is no power from 0 to {MOST_POWER:g}")
    if len(powers) == len(BLENDED) and not any(powers.values()):
        raise ValueError("a blend needs a power above 0")
    return powers


def parse_rate_limits(text: str) -> dict[str, RateLimit]:
    """The limits of `scope:rate:burst,...`; without a burst that of two seconds. Raises ValueError for another form."""
    limits: dict[str, RateLimit] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        scope, _, rest = entry.partition(":")
        rate, _, burst = rest.partition(":")
        try:
            limit = RateLimit(float(rate), int(burst) if burst else max(1, ceil(2 * float(rate))))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{entry!r} is not of the form SCOPE:RATE or SCOPE:RATE:BURST") from error
        if scope not in SCOPES or scope in limits or not 0 < limit.rate <= MOST_RATE or limit.burst < 1:
            raise ValueError(f"{entry!r} must name read, write or admin once, a rate above 0 and a burst of 1 or more")
        limits[scope] = limit
    return limits


MOST_RATE = 1e6
"""requests a second"""
_KEY_FORM = "KEY:SCOPE+SCOPE, separated by commas; scopes are read, write and admin"


def parse_keys(text: str) -> dict[SecretStr, frozenset[str]]:
    """The keys of `key:scope+scope,...`. Raises ValueError that names the entry by number and repeats no key."""
    keys: dict[SecretStr, frozenset[str]] = {}
    entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
    for place, entry in enumerate(entries, 1):
        key, colon, scopes = entry.rpartition(":")
        if not colon or not key or not scopes:
            raise ValueError(f"key {place} of {len(entries)} is not of the form {_KEY_FORM}")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(f"key {place} of {len(entries)} holds a character that no HTTP header can carry")
        if SecretStr(key) in keys:
            raise ValueError(f"key {place} of {len(entries)} occurs twice")
        keys[SecretStr(key)] = check_scopes(frozenset(scopes.split("+")), f"key {place} of {len(entries)}")
    return keys


def check_scopes(scopes: frozenset[str], named: str = "a key") -> frozenset[str]:
    if not scopes or not scopes <= SCOPES:
        raise ValueError(f"{named} has a scope that does not exist; keys are {_KEY_FORM}")
    return scopes


def parse_share(text: str) -> float:
    """The share of `5%` or `5`, above 0 and at most 1. Raises ValueError for another form."""
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError as error:
        raise ValueError(f"{text!r} is not a share such as 5%") from error
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} is no share above 0% and up to 100%")
    return share


def parse_shares(text: str) -> tuple[float, ...]:
    """The shares of `5,25,100`, percent. Raises ValueError if they do not rise to 100."""
    shares = tuple(parse_share(one) for one in text.split(",") if one.strip())
    if not shares or shares[-1] != 1 or list(shares) != sorted(set(shares)):
        raise ValueError(f"{text!r} are no shares that rise to 100, such as 5,25,100")
    return shares


PARSERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "context_limits": parse_context_limits,
        "outcome_blend": parse_blend,
        "rate_limits": parse_rate_limits,
        "canary_steps": parse_shares,
    }
)
"""by setting, what reads its text"""
