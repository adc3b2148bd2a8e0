"""What an operator sets: environment variables with the prefix PYMK_, or a TOML file named by PYMK_CONFIG."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from models.events import FORBIDDEN_DAYS

SUPERSEDED_TTL_S = 3600.0
"""how long the store keeps a version after another has superseded it and the one before it"""


class Settings(BaseSettings):
    """Settings that the commands share. The environment wins over the file; defaults stand here and nowhere else."""

    model_config = SettingsConfigDict(env_prefix="PYMK_", extra="forbid", frozen=True)

    home: Path = Path(".pymk")
    """directory of versions, event archive and the embedded store's files"""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "pymk"
    """what every key in the store begins with, so that several networks share one store"""

    redis_url: str | None = None
    """redis://, rediss:// or unix:// of the store; without it an embedded one runs in `home`"""

    redis_cluster: bool = False
    """the store is a Redis Cluster"""

    redis_timeout_ms: Annotated[int, Field(ge=1)] = 50
    """longest wait for the store inside a request; commands wait a hundred times as long"""

    superseded_ttl_s: Annotated[float, Field(ge=60)] = SUPERSEDED_TTL_S
    """how long the store keeps a version that is neither active nor the one before; activating it later reads its files"""

    redis_connections: Annotated[int, Field(ge=1)] = 32
    """most connections to the store that one process opens (on a cluster: to one node)"""

    store_memory_mb: Annotated[int, Field(ge=16)] | None = None
    """most memory of the embedded store, beyond which it drops ranked lists and superseded versions; unset: no limit"""

    keys: Annotated[dict[SecretStr, frozenset[str]], NoDecode] = Field(default_factory=dict)
    """who may call: PYMK_KEYS=key:read+write,other:admin; empty: the loopback address only, without keys"""

    forbidden_days: Annotated[int, Field(ge=0)] = FORBIDDEN_DAYS
    """how long a decline or a disconnect keeps two people from being suggested to each other"""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        file = os.environ.get("PYMK_CONFIG")
        sources = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls, toml_file=Path(file))) if file else sources
