"""What an operator sets: environment variables with the prefix PYMK_, or a TOML file named by PYMK_CONFIG."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from models.errors import UsageError
from models.schema.event_kinds import FORBIDDEN_DAYS

SUPERSEDED_TTL_S = 3600.0
"""how long the store keeps a version after another has superseded it and the one before it"""


class ContextLimit(NamedTuple):
    """What a list in one context may hold."""

    most: int
    """people"""
    least_score: float = 0.0


CONTEXTS = ("web", "mobile", "email", "onboarding")
"""surfaces that are known without a setting; the first is the default"""


class Settings(BaseSettings):
    """Settings that the commands share. The environment wins over the file; defaults stand here and nowhere else."""

    model_config = SettingsConfigDict(env_prefix="PYMK_", extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path = Path(".pymk")
    """directory of versions, event archive and the embedded store's files"""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "pymk"
    """what every key in the store begins with, so that several networks share one store"""

    redis_url: str | None = None
    """redis://, rediss:// or unix:// of the store; without it an embedded one runs in `home`"""

    redis_cluster: bool = False
    """the store is a Redis Cluster"""

    redis_timeout_ms: Annotated[int, Field(ge=1)] = 200
    """longest wait for the store's first answer to a request, and for all others; commands wait 100 times as long"""

    superseded_ttl_s: Annotated[float, Field(ge=60)] = SUPERSEDED_TTL_S
    """how long the store keeps a version that is neither active nor the one before it"""

    redis_connections: Annotated[int, Field(ge=1)] = 32
    """most connections to the store that one process opens (on a cluster: to one node)"""

    store_memory_mb: Annotated[int, Field(ge=16)] | None = None
    """most memory of the embedded store, beyond which it drops ranked lists and superseded versions; unset: no limit"""

    keys: Annotated[dict[SecretStr, frozenset[str]], NoDecode] = Field(default_factory=dict)
    """who may call: PYMK_KEYS=key:read+write,other:admin; empty: the loopback address only, without keys"""

    contexts: Annotated[frozenset[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]], NoDecode] = frozenset()
    """surfaces that lists are made for, beside web, mobile, email and onboarding: PYMK_CONTEXTS=feed,sidebar"""

    diversity_column: str = "company"
    """column of which a page shows at most `diversity_most` people with one value; a dataset without it: off"""

    diversity_most: Annotated[int, Field(ge=1)] = 5
    """people with one value of `diversity_column` in 20 places; from 20 up: off"""

    fatigue_factor: Annotated[float, Field(gt=0, le=1)] = 0.9
    """what the score of somebody shown is multiplied by for each impression since the viewer's last action; 1: off"""

    fatigue_limit: Annotated[int, Field(ge=1)] = 12
    """impressions without an action after which somebody comes last"""

    exposure_limit: Annotated[int, Field(ge=1)] = 2000
    """impressions of one person within a day, over all viewers, after which the person comes last"""

    suspicious: Literal["off", "demote", "drop"] = "off"
    """what happens to accounts that a version holds for suspicious: nothing; they come last; they are not shown"""

    suspicious_above: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """share of ordinary accounts beyond which one is suspicious"""

    context_limits: Annotated[dict[str, ContextLimit], NoDecode] = Field(default_factory=dict)
    """PYMK_CONTEXT_LIMITS=email:5:0.1,sidebar:3: at most so many people in a context, with at least this score"""

    ranked_ttl_s: Annotated[float, Field(gt=0, le=86400)] = 3600.0
    """how long a ranked list is served again"""

    max_in_flight: Annotated[int, Field(ge=1)] = 256
    """requests that one process works on at a time; the next are told to come back"""

    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 << 20
    """largest body of a request"""

    log_secret: SecretStr | None = None
    """keys the hash that stands for a user id in log lines; unset: a random one each time the service starts"""

    forbidden_days: Annotated[int, Field(ge=0)] = FORBIDDEN_DAYS
    """how long a decline or a disconnect keeps two people from being suggested to each other"""

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Every context that lists are made for."""
        return (*CONTEXTS, *sorted(self.contexts.difference(CONTEXTS)))

    @field_validator("contexts", mode="before")
    @classmethod
    def _split_contexts(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("context_limits", mode="before")
    @classmethod
    def _parse_context_limits(cls, value: object) -> object:
        return parse_context_limits(value) if isinstance(value, str) else value

    @field_validator("context_limits")
    @classmethod
    def _check_context_limits(cls, limits: dict[str, ContextLimit]) -> dict[str, ContextLimit]:
        for context, limit in limits.items():
            if limit.most < 1 or not 0 <= limit.least_score <= 1:
                raise ValueError(f"{context} needs at least one person and a score from 0 to 1")
        return limits

    @field_validator("keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("keys")
    @classmethod
    def _check_scopes(cls, keys: dict[SecretStr, frozenset[str]]) -> dict[SecretStr, frozenset[str]]:
        for scopes in keys.values():
            _check(scopes)
        return keys

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file. Raises UsageError where the file cannot be read."""
        file = os.environ.get("PYMK_CONFIG")
        sources = (init_settings, env_settings)
        if not file:
            return sources
        if not Path(file).is_file():  # the library would pass over it in silence
            raise UsageError(f"PYMK_CONFIG names {file}, which is no file")
        try:
            return (*sources, TomlConfigSettingsSource(settings_cls, toml_file=Path(file)))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"PYMK_CONFIG names {file}, which cannot be read: {error}") from error


SCOPES = frozenset({"read", "write", "admin"})
"""what a key may allow"""


def parse_context_limits(text: str) -> dict[str, ContextLimit]:
    """The limits of `context:most:score,...`, the score left out or not. Raises ValueError for another form."""
    limits: dict[str, ContextLimit] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        context, _, rest = entry.partition(":")
        most, _, score = rest.partition(":")
        try:
            limits[context] = ContextLimit(int(most), float(score) if score else 0.0)
        except ValueError as error:
            raise ValueError(f"{entry!r} is not of the form CONTEXT:MOST or CONTEXT:MOST:SCORE") from error
    return limits


_KEY_FORM = "KEY:SCOPE+SCOPE, separated by commas; scopes are read, write and admin"


def parse_keys(text: str) -> dict[SecretStr, frozenset[str]]:
    """The keys of `key:scope+scope,...`. Raises ValueError that counts the entries and repeats none of the keys."""
    keys: dict[SecretStr, frozenset[str]] = {}
    entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
    for place, entry in enumerate(entries, 1):
        key, colon, scopes = entry.rpartition(":")
        if not colon or not key or not scopes:
            raise ValueError(f"key {place} of {len(entries)} is not of the form {_KEY_FORM}")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(f"key {place} of {len(entries)} holds a character that no HTTP header can carry")
        if SecretStr(key) in keys:
            raise ValueError(f"key {place} of {len(entries)} stands there twice")
        keys[SecretStr(key)] = _check(frozenset(scopes.split("+")), f"key {place} of {len(entries)}")
    return keys


def _check(scopes: frozenset[str], whose: str = "a key") -> frozenset[str]:
    if not scopes or not scopes <= SCOPES:
        raise ValueError(f"{whose} has a scope that does not exist; keys are {_KEY_FORM}")
    return scopes
