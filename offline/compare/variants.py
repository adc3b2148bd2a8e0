"""Reads the rows of a comparison from a TOML file."""

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import UsageError
from models.networks.config import (
    DecoderConfig,
    DotConfig,
    EncoderConfig,
    GraphSageConfig,
    IdentityConfig,
    NoIdentityConfig,
)
from models.system.files import json_digest
from models.system.toml_file import read_model
from offline.encoders.config import PARTS, Part, TrainingConfig
from offline.fusion.config import FusionConfig

DEFAULT_VARIANTS = Path(__file__).with_name("variants.toml")
"""the rows of the package"""


class EncoderParts(BaseModel):
    """Everything that determines an encoder's weights, except the data and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = GraphSageConfig()
    """which encoder, and its shape"""

    identity: IdentityConfig = NoIdentityConfig()
    """encoding of the user's identity"""

    decoder: DecoderConfig = DotConfig()
    """function of two embeddings that returns the score"""

    features: tuple[Part, ...] = PARTS
    """the encoder's inputs: profile, activity, statistics, spectrum, or none of them"""

    training: TrainingConfig = TrainingConfig()
    """hyperparameters of training"""

    @property
    def digest(self) -> str:
        """Digest of the encoder; rows with the same encoder share it."""
        described = self.model_dump(mode="json", include=set(EncoderParts.model_fields))
        return json_digest(described)[:12]


class Variant(EncoderParts):
    """A row: an encoder, and optionally a fusion of its score with the others."""

    name: str = Field(min_length=1, max_length=80)
    """name in the table"""

    fusion: FusionConfig | None = None
    """None: the encoder is evaluated alone"""

    @property
    def row_digest(self) -> str:
        """Digest of the row without its name."""
        return json_digest(self.model_dump(mode="json", exclude={"name"}))[:12]


class VariantsFile(BaseModel):
    """The content of a file of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "VariantsFile":
        twice = [name for name, times in Counter(variant.name for variant in self.rows).items() if times > 1]
        if twice:
            raise ValueError(f"two rows are called {twice[0]}; rename one")
        return self


def read_variants(path: Path) -> tuple[Variant, ...]:
    """The rows of a TOML file. Raises UsageError with the fault."""
    return read_model(path, VariantsFile).rows


def chosen_variants(rows: tuple[Variant, ...], names: tuple[str, ...]) -> tuple[Variant, ...]:
    """The rows with these names, all if there are none. Raises UsageError for an unknown name."""
    unknown = [name for name in names if name not in {variant.name for variant in rows}]
    if unknown:
        raise UsageError(f"no row is called {unknown[0]!r}; there are {', '.join(row.name for row in rows)}")
    return tuple(variant for variant in rows if not names or variant.name in names)
