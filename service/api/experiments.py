"""The route that lists experiments."""

import asyncio
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime

from models.experiments import registry
from models.experiments.experiment import Run
from service.api.dependencies import MAY_ADMINISTER, AppContainer
from service.api.openapi import problems
from service.api.schemas import Schema

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[MAY_ADMINISTER])


class ArmEntry(Schema):
    """One arm; the first of an experiment is its control."""

    name: str
    share: float
    """of the viewers"""
    settings: dict[str, Any]
    """what it changes"""


class ExperimentEntry(Schema):
    """One experiment."""

    name: str
    state: Literal["running", "stopped"]
    started_at: AwareDatetime
    stopped_at: AwareDatetime | None
    salt: str
    holdout: float
    """share of the people whom no arm touches as candidates"""
    arms: list[ArmEntry]


class ExperimentsAnswer(Schema):
    """All experiments, the latest first."""

    experiments: list[ExperimentEntry]


@router.get("/experiments", responses=problems(401, 403, 503))
async def experiments(container: AppContainer) -> ExperimentsAnswer:
    """Every experiment, running or stopped, with its arms."""
    reading = partial(registry.read, container.stores.threads, keys=container.keys)
    found = await asyncio.get_running_loop().run_in_executor(container.admin_threads, reading)
    return ExperimentsAnswer(experiments=[entry_of(run) for run in reversed(found.runs)])


def entry_of(run: Run) -> ExperimentEntry:
    """An experiment as answers show it."""
    one = run.experiment
    arms = [
        ArmEntry(name=arm.name, share=arm.share, settings=arm.settings.model_dump(mode="json", exclude_none=True))
        for arm in one.arms
    ]
    return ExperimentEntry(
        name=one.name,
        state="running" if run.stopped_at is None else "stopped",
        started_at=run.started_at,
        stopped_at=run.stopped_at,
        salt=one.salt,
        holdout=one.candidates.holdout,
        arms=arms,
    )
