"""An experiment as its file states it: arms with their shares and settings, and the people who are held out.

name = "less-fatigue"

[[arms]]                      # the first arm is the control, which the others are compared with
name = "control"
share = 0.5

[[arms]]
name = "mild"
share = 0.5
[arms.settings]               # settings of the same names without PYMK_; version = "..." serves another version
fatigue_factor = 0.95

[candidates]
holdout = 0.1                 # of the people: their places are those of the control in every arm
"""

from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from models.setting_texts import PARSERS, check_blend, check_context_limits
from models.settings import Settings

OVERRIDABLE = (
    "diversity_column",
    "diversity_most",
    "fatigue_factor",
    "fatigue_limit",
    "suspicious",
    "suspicious_above",
    "context_limits",
    "outcome_blend",
    "exploration_temperature",
    "exploration_fixed",
    "exploration_uniform_share",
    "exploration_best",
    "exploration_boost",
    "exploration_hold_minutes",
)
"""settings that an arm may change: all that a list depends on after it was scored, and how heads of outcomes score"""
EXPLORATION = frozenset(name for name in OVERRIDABLE if name.startswith("exploration_"))
SELDOM, BOOST = "exploration_seldom", "exploration_boost"
BLEND = "outcome_blend"
VERSION = "version"
"""beside them, the version that the lists of an arm are of"""
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
_WHOLE = 1 + 1e-9
"""shares that add up to no more, roundings included"""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _ArmSettings(_Table):
    version: Annotated[str, Field(min_length=1)] | None = None
    """the active version or the one before it"""

    @model_validator(mode="before")
    @classmethod
    def _check_what_workers_count(cls, given: Any) -> Any:
        if isinstance(given, dict) and SELDOM in given:
            raise ValueError(
                f"{SELDOM} is of the whole installation: the worker counts who is hardly ever shown once for all "
                f"viewers; an arm may change {BOOST}, the factor for these people"
            )
        return given

    @field_validator("context_limits", BLEND, mode="before", check_fields=False)
    @classmethod
    def _parse_text(cls, value: object, setting: ValidationInfo) -> object:
        return PARSERS[setting.field_name or ""](value) if isinstance(value, str) else value

    @field_validator("context_limits", check_fields=False)
    @classmethod
    def _check_context_limits(cls, value: Any) -> Any:
        return value if value is None else check_context_limits(value)

    @field_validator(BLEND, check_fields=False)
    @classmethod
    def _check_blend(cls, value: Any) -> Any:
        return value if value is None else check_blend(value)


def _fields() -> dict[str, Any]:
    """The overridable settings, each with the type and bounds that Settings states, or unset."""
    found = {}
    for name in OVERRIDABLE:
        setting = Settings.model_fields[name]
        kind: Any = setting.annotation
        if setting.metadata:
            kind = Annotated[(kind, *setting.metadata)]
        found[name] = (kind | None, None)
    return found


ArmSettings: Any = create_model("ArmSettings", __base__=_ArmSettings, **_fields())
"""the settings of an arm; unset ones are those of the installation"""


class Arm(_Table):
    """One treatment of an experiment."""

    name: Annotated[str, Field(pattern=NAME)]
    share: Annotated[float, Field(gt=0, le=1)]
    """of the viewers"""
    settings: ArmSettings = ArmSettings()

    @cached_property
    def overrides(self) -> dict[str, Any]:
        """By name the settings that the arm changes; `version` is not among them."""
        names = self.settings.model_fields_set - {VERSION}
        return {
            name: getattr(self.settings, name) for name in sorted(names) if getattr(self.settings, name) is not None
        }

    @property
    def blend(self) -> dict[str, float]:
        """The powers of heads of outcomes that the arm changes, by name."""
        return dict(self.overrides.get(BLEND, {}))

    @property
    def version(self) -> str | None:
        """The version that the arm's lists are of; None: the active one."""
        version: str | None = self.settings.version
        return version


class Candidates(_Table):
    """The candidate side of an experiment."""

    holdout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """share of the people whose places in every list are those of the control"""


class Experiment(_Table):
    """An experiment as its file states it."""

    name: Annotated[str, Field(pattern=NAME)]
    salt: Annotated[str, Field(min_length=1, max_length=128)] = ""
    """what is hashed with the ids; experiments of one salt draw the same people. Default: the name"""
    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=20)]
    candidates: Candidates = Candidates()

    @model_validator(mode="before")
    @classmethod
    def _salted(cls, given: Any) -> Any:
        return {"salt": given["name"], **given} if isinstance(given, dict) and given.get("name") else given

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [arm.name for arm in self.arms]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms have the name {twice[0]}")
        if (total := sum(arm.share for arm in self.arms)) > _WHOLE:
            raise ValueError(f"the shares of the arms add up to {total:g}, which is more than 1")
        if all(arm.settings == self.control.settings for arm in self.arms):
            raise ValueError("the arms do not differ: one needs [arms.settings]")
        if self.candidates.holdout and any(arm.version != self.control.version for arm in self.arms):
            raise ValueError("holdout needs arms of one version: in lists of different versions nobody has one place")
        if self.candidates.holdout and any(arm.blend != self.control.blend for arm in self.arms):
            raise ValueError("holdout needs arms of one outcome_blend: under different scores nobody has one place")
        return self

    @property
    def control(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def boosts(self) -> bool:
        """Whether some arm favours people who are hardly ever shown, whom somebody must count then."""
        return any(arm.overrides.get(BOOST, 1) > 1 for arm in self.arms)

    @property
    def changes(self) -> frozenset[str]:
        """The names of the settings that some arm changes."""
        own = {name for arm in self.arms for name in arm.overrides}
        return frozenset(own | {VERSION} if any(arm.version for arm in self.arms) else own)


class Run(BaseModel):
    """An experiment that was started."""

    model_config = ConfigDict(frozen=True)

    experiment: Experiment
    started_at: AwareDatetime
    stopped_at: AwareDatetime | None = None
    """None: it runs"""

    @property
    def name(self) -> str:
        return self.experiment.name
