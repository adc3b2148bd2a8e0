"""Simulates a month: people look at lists, act, answer and join by day; a night trains on what they did."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from models.errors import GateRefusedError, UsageError
from models.system import files
from offline.simulation import dataset
from offline.simulation.actions import Shown, answer, contexts, react, visitors
from offline.simulation.config import SimulationConfig
from offline.simulation.days import Days
from offline.simulation.installation import Installation
from offline.simulation.people import People
from offline.simulation.progress import SavedProgress
from offline.synth import network as synth

TRUTH, DAYS, MARKER, LOCK = "truth.json", "days.parquet", "simulation.json", ".lock"
FOLLOW_S = 1.5
"""every service process follows an experiment within a second"""
BROUGHT = 3
"""friends whom a person who joins brings along"""
JOINING = "onboarding"
"""context of the first list of somebody who joins"""

Progress = Callable[[str, int, int | None], None]


def check_target(out: Path) -> Path:
    """The directory to write, as an absolute path. Raises UsageError if it holds anything but a simulation."""
    target = out.resolve()
    if Path.cwd().is_relative_to(target):
        raise UsageError(f"{out} is the directory you are in, or above it; name one below it")
    if not target.exists():
        return target
    if not target.is_dir():
        raise UsageError(f"{out} is a file; name a directory")
    if any(path.name != LOCK for path in target.iterdir()) and not (target / MARKER).exists():
        raise UsageError(f"{out} is not empty and was not made by pymk simulate; name another directory or remove it")
    return target


def simulate(
    out: Path,
    users: int,
    days: int,
    seed: int,
    config: SimulationConfig,
    progress: Progress,
    *,
    resume: bool = False,
) -> Days:
    """Simulates so many days of so many people into a directory that passes `check_target`, replacing what it holds.

    `days.parquet` has all days that are over, whenever this ends. With `resume` a simulation with the same arguments
    that was stopped goes on. Raises UsageError if another simulation writes there, or there is nothing to go on with,
    PymkError if a process fails; none is left running. Must be called from the main thread.
    """
    target = check_target(out)
    with files.locked(target / LOCK, 0.0) as is_mine:
        if not is_mine:
            raise UsageError(f"another pymk simulate writes {out}")
        arguments = {"users": users, "days": days, "seed": seed, "config": config.model_dump(mode="json")}
        if resume:
            _check_same(target, arguments)
            return _simulated(target, arguments, config, progress, resume=True)
        for found in target.iterdir():
            if found.is_dir():
                files.remove_tree(found)
            elif found.name != LOCK:
                found.unlink()
        files.write_json(target / MARKER, arguments)
        return _simulated(target, arguments, config, progress, resume=False)


def _check_same(target: Path, arguments: dict[str, Any]) -> None:
    """Raises UsageError if the directory holds no simulation, or one with other arguments."""
    if not (target / MARKER).exists():
        raise UsageError(f"{target} holds no simulation to go on with; run pymk simulate without --resume")
    before = files.read_json(target / MARKER)
    told = [name for name in arguments if before.get(name) != arguments[name]]
    if told:
        raise UsageError(f"{target} was simulated with another {' and '.join(told)}: --resume goes on with the same")


def _simulated(
    target: Path, arguments: dict[str, Any], config: SimulationConfig, progress: Progress, *, resume: bool
) -> Days:
    # the people and their network
    users, days, seed = (int(arguments[name]) for name in ("users", "days", "seed"))
    made = synth.generate(users, None, seed)
    present = max(users - round(users * config.joining), min(users, 10))
    people = People.of(made, config.behaviour, seed, present)
    joining = dataset.joining_days(users, present, days)
    record, saved, over, is_night_due = Days(), SavedProgress(target), 0, False
    if resume:
        over, present, is_night_due = saved.restore(people, record)
        structlog.get_logger("pymk.simulate").info("simulation_resumed", days_over=over, of=days)
    else:
        dataset.write(made, present, target / "DATA", datetime.now(UTC))
        _write_truth(target / TRUTH, arguments, people, joining)
    record.write(target / DAYS)
    # the days, with nights between
    with Installation.opened(target, _settings(config)) as installation:
        progress("nights", over, None)
        if not resume:
            installation.night(target / "DATA", config.night, force=config.force)
        installation.start()
        if is_night_due:
            _night(installation, target, config, over)
        for day in range(over + 1, days + 1):
            if config.experiment is not None and config.experiment.day == day:
                if not resume or not installation.is_running(config.experiment.file):
                    installation.run("experiment", "start", str(config.experiment.file.resolve()))
                time.sleep(FOLLOW_S)
            newcomers = joining.get(day, [])
            present = _join(installation, made, people, newcomers, present)
            _live(installation, config, people, record, saved, seed, day, present, newcomers)
            is_night = day % config.nights_every == 0 and day < days
            installation.settle(filed=is_night or day == days)
            record.write(target / DAYS)
            saved.save(day, present, people, record, is_night_due=is_night)
            progress("days", day, days)
            if is_night:
                _night(installation, target, config, day)
    saved.end()
    return record


def _night(installation: Installation, target: Path, config: SimulationConfig, day: int) -> None:
    """A night, after which its version is served; if the gate refuses it, the one before is served on."""
    log = structlog.get_logger("pymk.simulate")
    try:
        version = installation.night(target / "DATA", config.night, force=config.force)
    except GateRefusedError as error:
        log.warning("night_refused", day=day, error=str(error))
        return
    installation.serving(version)
    installation.settle(filed=False)
    log.info("night_done", day=day, version=version)


def _settings(config: SimulationConfig) -> dict[str, Any]:
    """The settings of the installation. A day takes seconds: what counts in days or minutes is scaled or off."""
    own = {
        "exposure_limit": 1_000_000,
        "superseded_ttl_s": 60,
        "outcome_ignored_days": 1e-4,
        "exploration_hold_minutes": 0.01,
    }
    return {**own, **config.settings}


def _write_truth(path: Path, arguments: dict[str, Any], people: People, joining: dict[int, list[int]]) -> None:
    """What nobody but the simulation knows: the arguments, and of each person what is hidden."""
    day_of = {person: day for day, some in joining.items() for person in some}
    hidden = people.truth().to_dicts()
    for at, person in enumerate(hidden):
        person["joined_day"] = day_of.get(at, 0)
    files.write_json(path, {"format": 1, **arguments, "people": hidden})


def _join(installation: Installation, made: synth.Network, people: People, newcomers: list[int], present: int) -> int:
    """Registers those who join today, with a few friends; returns how many people there are then."""
    for person in newcomers:
        installation.put(people.ids[person], dataset.profile_of(made, person))
        events = []
        for friend in dataset.first_friends(made, person, person, BROUGHT):
            people.befriend(person, friend)
            events.append({"kind": "connect", "user_id": people.ids[person], "other_id": people.ids[friend]})
        installation.post(events)
    if newcomers:
        installation.settle(filed=False)
    return present + len(newcomers)


def _live(
    installation: Installation,
    config: SimulationConfig,
    people: People,
    record: Days,
    saved: SavedProgress,
    seed: int,
    day: int,
    present: int,
    newcomers: list[int],
) -> None:
    """One day: lists in the morning, what viewers do with them, and answers in the evening."""
    # lists, context by context
    viewers = visitors(people, seed, day, present)
    new = set(newcomers)
    where = contexts(config.behaviour, seed, day, viewers)
    asking: dict[str, list[int]] = {}
    for viewer, context in zip(viewers.tolist(), where, strict=True):
        asking.setdefault(JOINING if viewer in new else context, []).append(viewer)
    shown = saved.lists(day)
    if shown is None:
        shown = []
        for context, some in sorted(asking.items()):
            ids = [people.ids[viewer] for viewer in some]
            lists = installation.lists(ids, context, config.limit, f"sim-{day}-{context}")
            shown += [_shown(viewer, context, one, people) for viewer, one in zip(some, lists, strict=True)]
        saved.save_lists(day, shown)
    # what viewers do
    reactions = react(people, config.behaviour, seed, day, shown)
    record.add(day, shown, reactions)
    installation.post(_identified(reactions.events, f"sim-{day}-reaction"))
    # answers, of those who were here, to invitations of earlier days and of today
    for inviter, invited, _ in reactions.invitations:
        people.waiting.setdefault(invited, []).append(inviter)
    answers = answer(people, config.behaviour, seed, day, viewers)
    record.answered(answers.accepted, answers.declined)
    installation.post(_identified(answers.events, f"sim-{day}-answer"))


def _identified(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events with ids, by which those of a day that is lived again are the same."""
    return [{**one, "event_id": f"{name}-{number}"} for number, one in enumerate(events)]


def _shown(viewer: int, context: str, one: dict[str, Any], people: People) -> Shown:
    candidates = [people.numbers.get(entry["user_id"], -1) for entry in one["recommendations"]]
    arms = orjson.dumps(one["arms"], option=orjson.OPT_SORT_KEYS).decode() if one.get("arms") else ""
    return Shown(viewer, one["request_id"], context, arms, one["version"], candidates)
