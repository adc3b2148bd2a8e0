"""The rows of a comparison, read from a TOML file."""

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import UsageError
from models.networks.decoders import DecoderConfig, DotConfig
from models.networks.embedder import EncoderConfig
from models.networks.graphsage import GraphSageConfig
from models.networks.identity import IdentityConfig, NoIdentityConfig
from models.system.files import json_digest
from offline.encoders.config import TrainingConfig
from offline.encoders.inputs import PARTS, Part
from offline.fusion.train import FusionConfig
from offline.night.config import read_toml

DEFAULT_VARIANTS = Path(__file__).with_name("variants.toml")
"""the rows that ship with the package"""


class EncoderParts(BaseModel):
    """All that decides an encoder's weights, but the data and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = GraphSageConfig()
    """which encoder, and its shape"""

    identity: IdentityConfig = NoIdentityConfig()
    """what stands for who somebody is"""

    decoder: DecoderConfig = DotConfig()
    """what makes one number of two embeddings"""

    features: tuple[Part, ...] = PARTS
    """what the encoder reads of everybody: profile, activity, statistics, spectrum, or none of them"""

    training: TrainingConfig = TrainingConfig()
    """how it learns"""

    @property
    def digest(self) -> str:
        """The same for rows that share an encoder."""
        described = self.model_dump(mode="json", include=set(EncoderParts.model_fields))
        return json_digest(described)[:12]


class Variant(EncoderParts):
    """An encoder, and what fuses its score with the others."""

    name: str = Field(min_length=1, max_length=80)
    """stands in the table"""

    fusion: FusionConfig | None = None
    """None: the encoder is judged alone"""

    @property
    def row_digest(self) -> str:
        """The same for what gives the same lists, whatever it is called."""
        return json_digest(self.model_dump(mode="json", exclude={"name"}))[:12]


class VariantsFile(BaseModel):
    """What a file of rows holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "VariantsFile":
        twice = [name for name, times in Counter(variant.name for variant in self.rows).items() if times > 1]
        if twice:
            raise ValueError(f"two rows are called {twice[0]}")
        return self


def read_variants(path: Path) -> tuple[Variant, ...]:
    """The rows of a TOML file. Raises UsageError naming what is wrong."""
    return read_toml(path, VariantsFile).rows


def chosen_variants(rows: tuple[Variant, ...], names: tuple[str, ...]) -> tuple[Variant, ...]:
    """The rows of these names, all of them without any. Raises UsageError for a name that no row has."""
    unknown = [name for name in names if name not in {variant.name for variant in rows}]
    if unknown:
        raise UsageError(f"no row is called {unknown[0]!r}; there are {', '.join(row.name for row in rows)}")
    return tuple(variant for variant in rows if not names or variant.name in names)
