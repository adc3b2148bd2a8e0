"""The dials of a night, read from a TOML file whose tables are named like the fields."""

import hashlib
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.candidates.config import CandidateConfig, IndexConfig
from models.system.toml_file import read_model
from offline.encoders.config import GraphSageTrainingConfig, NightEncoder
from offline.gate.config import GateConfig
from offline.ranker.config import RankerConfig
from offline.ranker.outcome_heads.config import OutcomesConfig
from offline.spark.config import SparkConfig
from offline.steps.config import RetryConfig
from offline.suspicion.config import SuspicionConfig

IGNORED = {"sage": {"max_seconds": "max_steps"}, "ranker": {"max_seconds": "max_steps"}}
"""by table of a night, fields of earlier releases that have no effect, and what limits a training instead"""

LABEL_WINDOW = {"label_days", "least_recent"}
"""fields of SplitConfig that decide how far back labels reach"""


class SplitConfig(BaseModel):
    """Which friendships are hidden, to train and to evaluate on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judged_share: float = Field(default=0.05, gt=0, lt=0.5)
    """share of friendships kept for the gate: the last ones if they have dates, else random ones"""

    label_share: float = Field(default=0.1, gt=0, lt=0.4)
    """share of the others that the ranker learns from, and the same share again for the embeddings"""

    least_labels: int = Field(default=2000, ge=0)
    """a small graph hides more than its share to reach this many"""

    most_label_share: float = Field(default=0.2, gt=0, lt=0.4)
    """but never more than this share"""

    label_days: float = Field(default=90.0, ge=0)
    """where friendships have dates, only those of the last so many days are labels; older ones stay in the graph; 0:
    however old they are"""

    least_recent: int = Field(default=100_000, ge=1)
    """but ranker and embeddings learn from so many each, however old they are: a small network has few recent ones"""

    judged_users: int = Field(default=1000, ge=1)
    """users whose lists the gate evaluates"""

    seed: int = 0
    """of the random choices"""

    def labels_of(self, friendships: int) -> float:
        """The share of this many friendships to learn from."""
        return min(max(self.label_share, self.least_labels / max(friendships, 1)), self.most_label_share)


class NightConfig(BaseModel):
    """Everything that can be set of a night; the defaults are meant for any graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: SplitConfig = SplitConfig()
    """which friendships are hidden, to train and to evaluate on"""

    sage: GraphSageTrainingConfig = GraphSageTrainingConfig()
    """how the GraphSAGE of a night learns, and its shape"""

    encoder: NightEncoder | None = None
    """an encoder of `pymk compare` in GraphSAGE's place, such as {encoder = {name = "gat"}}; None: GraphSAGE"""

    index: IndexConfig = IndexConfig()
    """parameters of the HNSW index, and the recall it must reach"""

    candidates: CandidateConfig = CandidateConfig()
    """limits of the candidate sources, and the number of candidates kept"""

    ranker: RankerConfig = RankerConfig()
    """how the ranker learns"""

    outcomes: OutcomesConfig = OutcomesConfig()
    """whether and how the score learns from what came of the lists that were given out"""

    gate: GateConfig = GateConfig()
    """what may be lost against the active version, and how good a version must be to be published"""

    retry: RetryConfig = RetryConfig()
    """when a step that failed is tried again: if the store does not answer, or a disk is full"""

    spark: SparkConfig = SparkConfig()
    """how the jobs of `--engine spark` cut their work"""

    suspicion: SuspicionConfig | None = None
    """how to compute how suspicious accounts are, for the service's rule `suspicious`; None: not at all"""

    text_model: str | None = None
    """name or directory of a sentence-transformers model for text columns (extra `text`); None: hashed TF-IDF"""

    warm_start: bool = True
    """whether a training begins with the active version's weights where they fit, instead of anew"""

    retrain_after_days: float = Field(default=7.0, ge=0)
    """age of the weights at which `--retrain auto` trains again"""

    retrain_after_growth: float = Field(default=0.2, ge=0)
    """growth of users or friendships since training at which `--retrain auto` trains again"""

    @model_validator(mode="before")
    @classmethod
    def _without_ignored(cls, tables: Any) -> Any:
        """The tables without the fields that have no effect any more; each is logged as a warning."""
        if not isinstance(tables, dict):
            return tables
        tables = dict(tables)
        for name, ignored in IGNORED.items():
            table = tables.get(name)
            if not isinstance(table, dict):
                continue
            for field in ignored.keys() & table.keys():
                structlog.get_logger().warning("setting_ignored", setting=f"{name}.{field}", instead=ignored[field])
            tables[name] = {field: value for field, value in table.items() if field not in ignored}
        return tables

    def learning(self) -> str:
        """A digest of everything that decides the weights: a night trains again if it changed."""
        deciding = {"split", "sage", "candidates", "ranker", "text_model"}
        published = {"candidates": {"absent_days", "kept_of_absent"}}
        if all(getattr(self.split, name) == SplitConfig.model_fields[name].default for name in LABEL_WINDOW):
            published["split"] = LABEL_WINDOW  # weights of a release without a window serve on
        learning = self.model_dump_json(include=deciding | ({"encoder"} if self.encoder else set()), exclude=published)
        return hashlib.sha256(learning.encode()).hexdigest()

    @classmethod
    def read(cls, path: Path | None) -> "NightConfig":
        """The configuration in a TOML file, or the defaults. Raises UsageError naming what is wrong."""
        if path is None:
            return cls()
        return read_model(path, cls)
