"""The operator's settings: environment variables with the prefix PYMK_, or a TOML file named by PYMK_CONFIG."""

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from models.errors import UsageError
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.setting_texts import (
    PARSERS,
    ContextLimit,
    RateLimit,
    check_blend,
    check_context_limits,
    check_scopes,
    parse_keys,
)
from models.system.known_names import unknown_name, unread_variables
from models.system.toml_text import read_toml_file

EVENT_DAYS = 365
SUPERSEDED_TTL_S = 3600.0
"""how long the store keeps a version after another has superseded it and the one before it"""


CONTEXTS = ("web", "mobile", "email", "onboarding")
"""built-in contexts; the first is the default"""


class Settings(BaseSettings):
    """Settings of all commands. The environment overrides the file; only this class states defaults."""

    model_config = SettingsConfigDict(env_prefix="PYMK_", extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path = Path(".pymk")
    """directory that holds the versions, the event archive and the files of the embedded store"""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "pymk"
    """prefix of every key in the store, so that several networks can share one store"""

    redis_url: str | None = None
    """address of the store: redis://, rediss://, unix:// or redis+sentinel://; unset: one is embedded in PYMK_HOME"""

    redis_cluster: bool = False
    """whether the store is a Redis Cluster"""

    redis_timeout_ms: Annotated[int, Field(ge=1)] = 200
    """longest wait of a request for the store in milliseconds, over all its reads; each step of a write may take ten
    times as long, and commands wait 100 times as long"""

    redis_replicas: Annotated[int, Field(ge=0)] = 0
    """replicas that have a write on disk, as its primary has, before it is acknowledged (WAITAOF); 0: do not wait"""

    redis_replicas_wait_ms: Annotated[int, Field(ge=1)] = 2000
    """longest wait for PYMK_REDIS_REPLICAS in milliseconds; then the write is refused with 503, and may be repeated"""

    superseded_ttl_s: Annotated[float, Field(ge=60)] = SUPERSEDED_TTL_S
    """seconds that the store keeps a version that is neither active nor the previous one"""

    redis_connections: Annotated[int, Field(ge=1)] = 32
    """most connections to the store that one process opens; on a cluster: to each node"""

    store_memory_mb: Annotated[int, Field(ge=16)] | None = None
    """most megabytes of the embedded store; when full it drops cached lists and superseded versions; unset: no limit"""

    store_min_free_mb: Annotated[int, Field(ge=0)] = 128
    """megabytes of the embedded store's disk that stay free: with less it refuses writes and answers reads; 0: off"""

    keys: Annotated[dict[SecretStr, frozenset[str]], NoDecode] = Field(default_factory=dict)
    """API keys and their scopes: PYMK_KEYS=key:read+write,other:admin; none: loopback address only, no key asked for"""

    contexts: Annotated[frozenset[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]], NoDecode] = frozenset()
    """contexts allowed in addition to web, mobile, email and onboarding: PYMK_CONTEXTS=feed,sidebar"""

    diversity_column: str = "company"
    """profile column that diversity looks at; off if the dataset has no such column"""

    diversity_most: Annotated[int, Field(ge=1)] = 5
    """most people with the same value of PYMK_DIVERSITY_COLUMN in 20 positions; 20 or more: off"""

    fatigue_factor: Annotated[float, Field(gt=0, le=1)] = 0.9
    """factor on a candidate's score per impression since the viewer last acted on the candidate; 1: off"""

    fatigue_limit: Annotated[int, Field(ge=1)] = 12
    """impressions without an action after which a candidate moves to the end of the viewer's list"""

    exposure_limit: Annotated[int, Field(ge=1)] = 2000
    """impressions of one candidate within a day, over all viewers, after which the candidate moves to the end"""

    exposure_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """share of the lists given out that the exposure log records, drawn for each list; 0: off"""

    exposure_log_mb: Annotated[int, Field(ge=1)] = 64
    """most megabytes of the store that lists take until the worker files them; further ones are lost and counted"""

    event_days: Annotated[int, Field(ge=120)] = EVENT_DAYS
    """days of which PYMK_HOME/events keeps every event; of days before, nights remove impressions, clicks and views,
    but for the last event of each user"""

    outcomes_days: Annotated[int, Field(ge=1)] = 90
    """days that PYMK_HOME/outcomes keeps who was shown in which list"""

    outcome_join_hours: Annotated[float, Field(gt=0)] = 24.0
    """hours from a list to an event without request_id that is joined to it"""

    outcome_answer_days: Annotated[float, Field(gt=0)] = 30.0
    """days from an invite to an answer that counts as the outcome of the list that it came of"""

    outcome_ignored_days: Annotated[float, Field(gt=0)] = 7.0
    """days after which a person in a list counts as ignored if nothing came of it"""

    group_column: str = ""
    """categorical column whose groups readouts and reports compare in exposure and acceptance; empty: none"""

    exploration_temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """how far lists are drawn rather than sorted: people are drawn with odds^(1/temperature); 0: off; 0.5 is mild"""

    exploration_fixed: Annotated[int, Field(ge=0, le=100)] = 3
    """first places that PYMK_EXPLORATION_TEMPERATURE leaves to the best"""

    exploration_uniform_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """share of lists whose order is drawn uniformly among the best, to learn from without bias; 0: off"""

    exploration_best: Annotated[int, Field(ge=2, le=100)] = 50
    """people whose order is drawn; whoever comes after them stays"""

    exploration_boost: Annotated[float, Field(ge=1, le=100)] = 1.0
    """factor on the odds with which people who are hardly ever shown are drawn; 1: off"""

    exploration_seldom: Annotated[int, Field(ge=1)] = 5
    """impressions within a day, over all viewers, below which somebody is hardly ever shown"""

    exploration_hold_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    """minutes for which a viewer's draw stays the same, so that a page that is loaded again does not change"""

    ask_below_friends: Annotated[int, Field(ge=0)] = 3
    """viewers with fewer friends are told in `ask` which profile column would help most, as in every cold start"""

    contacts_key: SecretStr | None = None
    """key of the hash under which contacts are kept; unset: one that is drawn once and kept in the store"""

    contacts_most: Annotated[int, Field(ge=0, le=100_000)] = 100_000
    """most contacts of one user; 0: nobody may upload any"""

    contacts_daily: Annotated[int, Field(ge=1)] = 100_000
    """most contacts and own addresses of one user within 24 hours that were not in the upload before: further ones are
    429"""

    contacts_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """share of the places of a first page that the viewer's contacts may take, all but one of a newcomer's; 0: none"""

    newcomers_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """share of the places of a first page for people who joined since the night, rounded down: 1 of 20; 0: off"""

    suspicious: Literal["off", "demote", "drop"] = "off"
    """suspicious accounts: off (ignore), demote (move to the end of lists) or drop (leave out)"""

    suspicious_above: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """an account is suspicious if it fits its friends worse than this share of ordinary accounts"""

    context_limits: Annotated[dict[str, ContextLimit], NoDecode] = Field(default_factory=dict)
    """limits per context, CONTEXT:MOST or CONTEXT:MOST:SCORE: PYMK_CONTEXT_LIMITS=email:5:0.1 shows 5, scored 0.1 up"""

    outcome_blend: Annotated[dict[str, float], NoDecode] = Field(default_factory=dict)
    """powers of the score that nights learn from outcomes, NAME:POWER: accepted:2,dismissed:0.5; others: the night's"""

    ranked_ttl_s: Annotated[float, Field(gt=0, le=86400)] = 3600.0
    """seconds that a ranked list stays in the cache"""

    max_in_flight: Annotated[int, Field(ge=1)] = 256
    """most requests in progress in one process; further ones are answered 503 with Retry-After"""
    max_writes_in_flight: Annotated[int, Field(ge=1)] = 1024
    """most requests with events or profiles in progress in one process, beside those; further ones are 503"""

    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 << 20
    """largest request body in bytes, unpacked"""

    max_bodies_bytes: Annotated[int, Field(ge=1024)] = 32 << 20
    """most bytes of request bodies that one process holds at once; further ones are answered 503 with Retry-After"""

    compress_above_bytes: Annotated[int, Field(ge=0)] = 16 << 10
    """size in bytes above which lists are compressed for clients that accept gzip; 0: never"""

    max_head_bytes: Annotated[int, Field(ge=1024)] = 64 << 10
    """largest head of a request in bytes, request line included: 431 or 414 above it"""

    max_headers: Annotated[int, Field(ge=10)] = 100
    """most header fields of a request: 431 above it"""

    head_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """most seconds from the first byte of a request to the end of its head: 408 after it"""

    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """most seconds from the end of a head to the end of its body: 408 after it; also to take an answer"""

    max_connections: Annotated[int, Field(ge=1)] = 2000
    """most connections of one process; a further one closes the one that has waited longest without a request"""

    cors_origins: Annotated[frozenset[str], NoDecode] = frozenset()
    """origins whose pages may call: PYMK_CORS_ORIGINS=https://app.example.org; with keys also *; none: off"""

    allowed_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """names in `Host` that are answered without keys, besides localhost and loopback addresses; with keys all are"""

    trusted_proxies: str | None = None
    """addresses or networks whose X-Forwarded-For names the client, separated by commas; unset: it is ignored"""

    rate_limits: Annotated[dict[str, RateLimit], NoDecode] = Field(default_factory=dict)
    """requests a second by scope, SCOPE:RATE or SCOPE:RATE:BURST: PYMK_RATE_LIMITS=read:500,write:50:200; none: off"""

    rate_by: Literal["key", "address"] = "key"
    """what PYMK_RATE_LIMITS counts by: key, or the client's address; always by address if there are no keys"""

    rate_shared: bool = False
    """whether all processes share PYMK_RATE_LIMITS through the store, for one more trip of each limited request"""

    drain_s: Annotated[float, Field(ge=0, le=600)] = 3.0
    """seconds from SIGTERM until the port closes; readiness is 503 meanwhile, so that a load balancer sends no more"""

    log_secret: SecretStr | None = None
    """key of the hash that replaces user ids in logs; unset: a random one at every start of the service"""

    log_client: bool = False
    """whether the log line of a request names the client's address"""

    approval: bool = False
    """whether a version that passes the gate waits for pymk approve or pymk reject instead of being published"""

    approval_webhook: str | None = None
    """address that is posted a JSON object when a version waits for an approval: http:// or https://"""

    approval_command: str | None = None
    """command that is run when a version waits, with its id as last argument and the same JSON as input"""

    canary: bool = False
    """whether a version of a night, or one that is approved, is first served to the first share of PYMK_CANARY_STEPS"""

    canary_steps: Annotated[tuple[float, ...], NoDecode] = (0.05, 0.25, 1.0)
    """percent of the viewers that a canary is served to, step by step up to 100: PYMK_CANARY_STEPS=5,25,100"""

    canary_lists: Annotated[int, Field(ge=100)] = 1000
    """lists that a canary gives out in a step before the next, unless PYMK_CANARY_STEP_HOURS are over"""

    canary_minutes: Annotated[float, Field(ge=0)] = 30.0
    """minutes that a step of a canary lasts at least"""

    canary_step_hours: Annotated[float, Field(gt=0)] = 8.0
    """hours after which a step of a canary goes on with fewer lists if no guardrail failed; inf: never"""

    forbidden_days: Annotated[int, Field(ge=0)] = FORBIDDEN_DAYS
    """days that a decline or a disconnect keeps two people out of each other's lists"""

    @property
    def canary_share(self) -> float | None:
        """The share of the viewers that a version is served to first; None: all."""
        return self.canary_steps[0] if self.canary else None

    @property
    def all_contexts(self) -> tuple[str, ...]:
        """All contexts, built-in and configured."""
        return (*CONTEXTS, *sorted(self.contexts.difference(CONTEXTS)))

    @field_validator("contexts", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(*PARSERS, mode="before")
    @classmethod
    def _parse_text(cls, value: object, setting: ValidationInfo) -> object:
        return PARSERS[setting.field_name or ""](value) if isinstance(value, str) else value

    @field_validator("context_limits")
    @classmethod
    def _check_context_limits(cls, limits: dict[str, ContextLimit]) -> dict[str, ContextLimit]:
        return check_context_limits(limits)

    @field_validator("outcome_blend")
    @classmethod
    def _check_blend(cls, powers: dict[str, float]) -> dict[str, float]:
        return check_blend(powers)

    @field_validator("approval_webhook")
    @classmethod
    def _check_webhook(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"https?://[^\s]+", address):
            raise ValueError(f"{address!r} is not of the form http://HOST/PATH or https://HOST/PATH")
        return address

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: frozenset[str]) -> frozenset[str]:
        for origin in origins - {"*"}:
            if not re.fullmatch(r"https?://[^/?#@\s]+", origin):
                raise ValueError(f"{origin!r} is not of the form https://HOST or http://HOST:PORT")
        return origins

    @model_validator(mode="after")
    def _check_open_origins(self) -> Self:
        if "*" in self.cors_origins and not self.keys:
            raise ValueError("PYMK_CORS_ORIGINS=* needs PYMK_KEYS: without keys every page could read and write")
        return self

    @field_validator("keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("keys")
    @classmethod
    def _check_scopes(cls, keys: dict[SecretStr, frozenset[str]]) -> dict[SecretStr, frozenset[str]]:
        for scopes in keys.values():
            check_scopes(scopes)
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
        """Arguments, then the environment, then the file.

        Raises UsageError if the file cannot be read, or if file or environment name a setting that does not exist.
        """
        check_environment(os.environ, settings_cls.model_fields)
        file = os.environ.get("PYMK_CONFIG")
        sources = (init_settings, env_settings)
        if not file:
            return sources
        if not Path(file).is_file():  # pydantic-settings ignores a missing file silently
            raise UsageError(f"PYMK_CONFIG names {file}, which is not a file")
        try:
            read = _TomlSource(settings_cls, toml_file=Path(file))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"PYMK_CONFIG names {file}, which cannot be read: {error}") from error
        _refuse_unknown(read.toml_data, settings_cls.model_fields, f"{file}: ")
        return (*sources, read)


class _TomlSource(TomlConfigSettingsSource):
    """A TOML file that may begin with a byte order mark."""

    def _read_file(self, file_path: "Path | Traversable") -> dict[str, Any]:
        return read_toml_file(file_path)


OTHER_VARIABLES = frozenset({"PYMK_CONFIG", "PYMK_LOADTEST_KEY"})
"""variables with the prefix that are no settings"""
TEST_VARIABLES = frozenset(
    {
        "PYMK_BENCHMARK_HOME",
        "PYMK_DRAWN_ALWAYS",
        "PYMK_KILLED_SEED",
        "PYMK_KILLED_SEQUENCES",
        "PYMK_ODD_FILES",
        "PYMK_ACKNOWLEDGED",
        "PYMK_PROMOTIONS",
        "PYMK_SEQUENCES",
        "PYMK_STEPS",
    }
)
"""variables that the tests read"""


def check_environment(environment: Mapping[str, str], settings: Collection[str]) -> None:
    """Returns if every variable with the prefix PYMK_ is known.

    Raises UsageError that names each unknown one with the nearest setting.
    """
    known = {f"PYMK_{name.upper()}" for name in settings} | OTHER_VARIABLES
    unread = unread_variables(environment, "PYMK_", known | TEST_VARIABLES)
    faults = [f"{name} {unknown_name(name.upper(), 'setting', known, 'PYMK_')}" for name in unread]
    if faults:
        raise UsageError("; ".join(faults))


def _refuse_unknown(names: Collection[str], settings: Collection[str], where: str) -> None:
    faults = [f"{name} {unknown_name(name, 'setting', settings)}" for name in names if name not in settings]
    if faults:
        raise UsageError(where + "; ".join(faults))
