"""What a simulation can be told: how people behave, when nights run, and the settings of the service."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.settings import Settings
from models.system.known_names import unknown_name

_OWN = frozenset({"approval", "home", "redis_url", "redis_cluster", "keys", "namespace", "contexts"})
"""settings that a simulation sets itself, or that would stop it: nobody approves its versions"""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Behaviour(_Table):
    """How people decide. Log odds add up; a share is a mean over people."""

    visits: Annotated[float, Field(gt=0, le=1)] = 0.5
    """share of the days on which a person looks at a list"""
    email_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """share of the visits that come from a list in a mail; a quarter of the others is mobile"""
    position_bias: Annotated[float, Field(ge=0)] = 0.7
    """the person in position p is looked at with probability p to the power of minus this"""
    invite: float = -3.0
    """log odds of inviting a stranger of middling fame who is looked at"""
    near: float = 1.5
    """more for people of the same classmates or team, or of one's year at school"""
    colleague: float = 2.0
    """more for people of one's company"""
    schoolmate: float = 0.6
    """more for people of one's school"""
    neighbour: float = 0.2
    """more for people of one's city"""
    taste: float = 0.7
    """more for each unit by which the two hidden tastes fit"""
    fame: float = 1.0
    """less for each unit of log friends of the candidate above the mean, on average over viewers"""
    email_colleague: float = 1.0
    """more for a colleague in a mail"""
    email_near: float = -1.0
    """more for a near one in a mail"""
    tire: Annotated[float, Field(ge=0)] = 0.35
    """less for each time that the viewer has looked at the candidate before"""
    accept: float = 0.0
    """log odds of accepting a stranger's invitation"""
    load: Annotated[float, Field(ge=0)] = 0.15
    """less for each invitation that waits for the same answer"""
    answers: Annotated[float, Field(gt=0, le=1)] = 0.7
    """share of the waiting invitations that are answered on a day of a visit"""
    click: float = -1.5
    """log odds of clicking somebody who is looked at and not invited"""
    dismiss: float = -3.5
    """log odds of dismissing them"""


class Start(_Table):
    """An experiment that begins during the month."""

    file: Path
    """as pymk experiment start reads it"""
    day: Annotated[int, Field(ge=1)] = 1
    """on whose morning it starts"""


class SimulationConfig(_Table):
    """A simulation."""

    limit: Annotated[int, Field(ge=1, le=100)] = 10
    """people of a list"""
    nights_every: Annotated[int, Field(ge=1)] = 1
    """days from one night to the next"""
    joining: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """share of the people who join during the month"""
    night: Path | None = None
    """configuration of the nights, as pymk nightly --config reads it"""
    behaviour: Behaviour = Behaviour()
    settings: dict[str, str | int | float | bool] = {}
    """settings of service, worker and night, as in PYMK_..., in small letters and without the prefix"""
    experiment: Start | None = None
    """at most one, started on a day"""

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        known = [name for name in Settings.model_fields if name not in _OWN]
        for name in settings:
            if name not in known:
                raise ValueError(f"{name} {unknown_name(name, 'setting of a simulation', known)}")
        return settings
