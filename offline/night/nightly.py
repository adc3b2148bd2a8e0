"""The nightly job: from a dataset directory to the active version."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import structlog

from models.candidate_refresh.replay import replaying
from models.erasure.purge import purge_once
from models.errors import ArtefactError, DatasetError, PymkError, StoreError
from models.features.profile_encoder import ProfileEncoder
from models.live_state.erased_ids import read_erased
from models.live_state.erasure_receipts import note_known
from models.live_state.timestamps import draw_cut
from models.publishing import serving_processes
from models.publishing.approvals.approval import hold
from models.publishing.approvals.notices import Notices
from models.publishing.audit import Actor, write_audit_once
from models.publishing.canary import publish_or_try
from models.publishing.night_runs import NightRun
from models.publishing.pointer import is_served, read_pointer
from models.publishing.transfer import Progress, quiet
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.settings import EVENT_DAYS, SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import disk, files
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.evaluation.drift_check import DriftCheck, DriftReport
from offline.evaluation.gate_check import GateCheck
from offline.evaluation.report import Report
from offline.features.temporal_graph import EdgeSplit, Friendships, friendships, user_history
from offline.gate.decision import decide, refusals
from offline.gate.losses import loss_checks
from offline.gate.outcomes import outcome_checks
from offline.gate.quality import quality_checks
from offline.monitor.model import model_reference_of
from offline.monitor.reference import ReferenceStatistics
from offline.night.build_version import build_version, manifest_of
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.delta.night import active_id, make_delta, noted, refuse_beside_canary, refuse_delta, report_of_delta
from offline.night.evaluate import evaluate
from offline.night.former import Retrain, WeightsPlan, active_report, active_version, former_weights, why_train
from offline.night.model_bundle import ModelBundle
from offline.night.monitor import compare_versions, keep, reference_to_keep, report_of
from offline.night.outcomes.beside_data import data_drift
from offline.night.outcomes.learn import learn_outcomes
from offline.night.train import train_or_keep
from offline.night.version_checks import version_checks
from offline.night.workspace import SNAPSHOT, ReadAhead, StoppedEarlyError, Workspace, fingerprint, workspace
from offline.outcomes.join import Windows
from offline.snapshot.coded_tables import code_tables
from offline.snapshot.live_events import LiveEvents, pack_archive, read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot
from offline.spark.engine import SparkEngine
from offline.steps import memory
from offline.steps.recorder import Recorder, Result, tried
from offline.training.processes import ALONE, Processes

SNAPSHOT_JOBS = "snapshot-jobs"
"""folder of a workspace: files of the snapshot's jobs, while they run"""
STEPS = "steps.json"
"""of a workspace: what is recorded of the run"""

log = structlog.get_logger(__name__)


Step = Literal["snapshot", "training", "evaluation", "version", "publish"]
"""the steps after which a run may stop"""


@dataclass(frozen=True)
class Night:
    """What one run of the job reads, where it publishes, and how."""

    data: Path
    home: Path
    store: SyncStore
    keys: Keys
    config: NightConfig
    retrain: Retrain = "auto"
    force: bool = False
    forbidden_days: int = FORBIDDEN_DAYS
    event_days: int = EVENT_DAYS
    """days of which the archive keeps every event"""
    windows: Windows = field(default_factory=Windows)
    """how long events are joined to the lists that the night learns from"""
    group_column: str = ""
    """categorical column whose groups the report compares; empty: none"""
    superseded_ttl_s: float = SUPERSEDED_TTL_S
    delta: bool = False
    """whether only people whose friends or profile changed get new candidates, with the active version's weights"""
    until: Step = "publish"
    """the step after which the run stops; the next one goes on from there"""
    approval: bool = False
    """whether a version that passes waits for an approval"""
    canary_share: float | None = None
    """share of the viewers that the version is served to first; None: all"""
    notices: Notices | None = None
    """who is told that it waits"""
    engine: SparkEngine | None = None
    """finds the candidates of the evaluation and of the version; None: this process does"""
    progress: Progress = quiet
    read_ahead: ReadAhead | None = None
    """the dataset of `data`, if it was read already"""
    processes: Processes = ALONE
    """which train; this is rank 0 of them"""

    def run(self) -> tuple[str, Report]:
        """Snapshot, training, evaluation, gate, version, publish; returns the version's id and its report.

        Finished steps of a killed run with the same data and settings are kept, and with `force` those of one that the
        gate refused. Raises DatasetError, GateRefusedError and what publishing raises; the active version is then
        untouched.
        """
        release = metadata.version("pymk")
        # a run with a user who was erased since begins again
        erased = tried("start", lambda: read_erased(self.store, self.keys), self.config.retry).digest
        settings = self.config.model_dump_json(), self.retrain, str(self.forbidden_days), release, erased
        # and so does a delta from a version that is no longer active
        start = ("delta", active_id(self.store, self.keys, self.config.retry)) if self.delta else ()
        marks = fingerprint(self.data, *settings, *start)
        started_at = self.read_ahead.started_at if self.read_ahead else None
        try:
            with (
                disk.room(self.home, clear=self.home),
                workspace(self.home, marks, started_at, force=self.force) as work,
            ):
                made = _Steps(self, work).run()
        except StoppedEarlyError as stopped:
            return stopped.version, stopped.report
        if not self.approval:
            self._finish_erasures(made[0])
        return made

    def _finish_erasures(self, version: str) -> None:
        """Purges erased users from the version that was served before; the worker does later what fails here."""
        try:
            if self._erase() and not serving_processes.wait_until_served(self.store, version, keys=self.keys):
                self._erase()
        except PymkError as error:
            log.warning("erasures_left_to_the_worker", error=str(error))

    def _erase(self) -> int:
        return purge_once(self.store, self.keys, Versions(self.home))


class _Steps:
    """The steps of one run; a step whose directory exists is skipped."""

    def __init__(self, night: Night, work: Workspace) -> None:
        self.night, self.work, self.config = night, work, night.config
        self.versions = Versions(night.home)
        data, host, began = str(night.data.resolve()), socket.gethostname(), work.run.started_at
        run = NightRun(run=work.run.version, data=data, host=host, started_at=began, seen_at=datetime.now(UTC))
        self.recorder = Recorder(night.store, night.keys, work.directory / STEPS, run, night.config.retry)
        self.checks: list[GateCheck] = []
        """those of the gate so far"""
        self.drifted: list[DriftCheck] = []
        """those of drift from the active version so far"""
        self.then: ReferenceStatistics | None = None
        """the statistics that the active version keeps"""
        self.active: str | None = None
        """the active version"""
        self.forced = False
        """whether one of them refused, and was overridden"""

    def run(self) -> tuple[str, Report]:
        with self.recorder.running():
            return self._run()

    def _run(self) -> tuple[str, Report]:
        version = self.work.run.version
        if version not in self.versions.ids() or not self.versions.is_whole(version):
            self._make()
        if self.night.until == "version":
            self._stop(Report.read(self.versions.path(version)))
        if self.night.approval and not self._tried(lambda: is_served(self.night.store, self.night.keys, version)):
            self.recorder.step("hold", lambda: self._hold(version), self._users)
            self.recorder.ended("waiting")
        else:
            is_canary = self.recorder.step("publish", lambda: self._publish(version), self._users)
            self.recorder.ended("canary" if is_canary else "published")
        report = Report.read(self.versions.path(version))
        if report.drift is not None:
            with suppress(StoreError):  # the version is published, and its report has it
                keep(report.drift, self.night.store, self.night.keys)
        return version, report

    def _tried(self, work: Callable[[], Result]) -> Result:
        """What the store answers between the steps."""
        return tried("between the steps", work, self.config.retry)

    def _stop(self, report: Report) -> None:
        """Ends the run after a step; raises StoppedEarlyError."""
        self.recorder.ended("stopped")
        raise StoppedEarlyError(self.work.run.version, report)

    def _users(self, _: object) -> int:
        return self.versions.manifest(self.work.run.version).users

    def _make(self) -> None:
        """Every step before publication."""
        store, keys = self.night.store, self.night.keys
        pointer = self._tried(lambda: read_pointer(store, keys=keys))  # once, since a switch may come at any time
        former = former_weights(self.versions, pointer, self.night.retrain)
        active = self._tried(lambda: active_version(store, self.versions, keys, pointer))
        nothing = Report(users=0, held_out=0, methods={})
        if self.night.delta:
            refuse_delta(self.versions, former, None if active is None else active.manifest.version)
            self._tried(lambda: refuse_beside_canary(store, keys, pointer))
        is_done = self.work.is_done(SNAPSHOT)
        snapshot = self.recorder.step(SNAPSHOT, self._snapshot, lambda made: made.n, is_done=is_done)
        erased = self._tried(lambda: read_erased(store, keys))
        if former is not None:
            former = former.without(erased, snapshot.profiles)
        known = friendships(snapshot)
        memory.check(snapshot.n, known.count)
        self.active = None if active is None else active.manifest.version
        windows = None if self.night.delta else self.night.windows  # the log is large, and a delta night trains nothing
        where = self.versions, self.active, snapshot, known, erased, store, keys, windows
        found = self._tried(lambda: data_drift(*where, self.config.outcomes.most_read))
        self.then, self.now, self.drifted, self.note = found.then, found.now, found.checks, found.note
        self._gate(loss_checks(active, snapshot, known.graph, erased, self.config.gate))
        if self.night.until == SNAPSHOT:
            self._stop(nothing)
        if self.night.delta and former is not None:
            context, report = self._context(snapshot, known, former), report_of_delta(self.versions, active)
            tables = None if active is None else active.tables
            self.recorder.step("version", lambda: self._version(context, former, report, tables), lambda _: snapshot.n)
            return
        reason = why_train(
            former, self.night.retrain, self.config, known, snapshot, self.work.run.started_at, self.drifted
        )
        plan = WeightsPlan(former, reason)
        context = self._context(snapshot, known, plan.kept)
        split = known.split_edges(self.config.split.judged_share, self.config.split.seed)
        self.recorder.trained(reason)
        bundle = self.recorder.step(
            "training",
            lambda: self._training(context, split, plan),
            lambda made: made.training.connections,
            is_done=self.work.is_done("training"),
        )
        if self.night.until == "training":
            self._stop(nothing)
        report = self.recorder.step(
            "evaluation",
            lambda: self._evaluation(context, split, bundle, plan),
            lambda made: made.users,
            is_done=self.work.is_done("evaluation"),
        )
        self._gate(quality_checks(report, active_report(self.versions, active), self.config.gate))
        self._gate(outcome_checks(report, self.config.gate))
        bundle = bundle.with_heads(self.work.step("evaluation"))
        if self.night.until == "evaluation":
            self._stop(report)
        tables = None if active is None else active.tables
        self.recorder.step("version", lambda: self._version(context, bundle, report, tables), lambda _: snapshot.n)

    def _snapshot(self) -> Snapshot:
        night, started_at = self.night, self.work.run.started_at
        if not self.work.is_done(SNAPSHOT):
            log.info("step_begins", step=SNAPSHOT)
            engine, jobs = night.engine, self.work.directory / SNAPSHOT_JOBS
            write_snapshot(
                night.data if night.read_ahead is None else night.read_ahead.take(night.data, started_at) or night.data,
                self.work.step(SNAPSHOT),
                started_at=started_at,
                forbidden_days=self.night.forbidden_days,
                live=self._live(),
                code=code_tables if engine is None else engine.code_tables(jobs),
            )
        snapshot = Snapshot.open(self.work.step(SNAPSHOT))
        note_known(self.night.store, self.night.keys, snapshot.description.erased_in_dataset)
        if not snapshot.n:
            raise DatasetError(f"{self.night.data} names nobody: its users and connections files have no rows")
        return snapshot

    def _live(self) -> LiveEvents:
        """All that was acknowledged so far."""
        earlier = [0]
        for version in self.versions.ids():
            with suppress(ArtefactError):  # a version with an unreadable manifest is not served
                earlier.append(self.versions.manifest(version).cut_us)
        pack_archive(self.night.home, self.work.run.started_at, self.night.event_days)
        cut = draw_cut(self.night.store, self.night.keys, now=now_us(), after=max(earlier))
        live = read_live_events(self.night.home, self.night.store, self.night.keys, cut=cut)
        log.info("live_events_read", events=live.events.height, profiles=len(live.profiles), cut=cut)
        return live

    def _context(self, snapshot: Snapshot, known: Friendships, kept: ModelBundle | None) -> NightContext:
        """What the other steps share; profiles are encoded as in training, finished, kept or to come."""
        if self.work.is_done("training"):
            encoder = ModelBundle.open(self.work.step("training")).encoder
        elif kept is not None:
            encoder = kept.encoder
        else:
            encoder = ProfileEncoder.fit(snapshot.profiles, self.config.text_model)
        history = user_history(snapshot, encoder)
        started_at, column, processes = self.work.run.started_at, self.night.group_column, self.night.processes
        context = NightContext(
            snapshot, encoder, history, known, self.config, started_at, group_column=column, processes=processes
        )
        return replace(context, engine=self.night.engine)

    def _training(self, context: NightContext, split: EdgeSplit, plan: WeightsPlan) -> ModelBundle:
        if not self.work.is_done("training"):
            train_or_keep(self.work, context, split, plan)
        return ModelBundle.open(self.work.step("training"))

    def _evaluation(self, context: NightContext, split: EdgeSplit, bundle: ModelBundle, plan: WeightsPlan) -> Report:
        if not self.work.is_done("evaluation"):
            with self.work.making("evaluation") as aside:
                scratch, night, config = aside / "scratch", self.night, self.config.outcomes
                read = night.home, night.store, night.keys, night.windows, night.forbidden_days
                learned = learn_outcomes(*read, bundle.ranker, config)
                if learned.heads is not None:
                    learned.heads.save(aside)
                bundle = replace(bundle, outcomes=learned.heads)
                report = evaluate(context, bundle, split, split.moment(context.snapshot.cut), scratch, plan)
                files.remove_tree(scratch)
                report.model_copy(update={"outcomes": learned.report}).write(aside)
        return Report.read(self.work.step("evaluation"))

    def _gate(self, checks: list[GateCheck]) -> None:
        """Adds checks to those so far. Raises GateRefusedError if one refuses and the night is not forced."""
        self.checks += checks
        if decide(checks, force=self.night.force):
            self.forced = True
            said = "; ".join(f"{check.name}: {check.sentence}" for check in refusals(checks))
            by, night = Actor.here(f"--force over the gate: {said}"), self.night
            self._tried(lambda: write_audit_once(night.store, night.keys, "forced", self.work.run.version, by))

    def _version(self, context: NightContext, bundle: ModelBundle, report: Report, active: Tables | None) -> None:
        """Features, embeddings and candidates of the whole graph, as a version directory that the gate lets pass."""
        version = self.work.run.version
        log.info("step_begins", step="version")
        with self.versions.staging(version) as directory:
            bundle.save(directory)
            delta = None
            if self.night.delta and self.active is not None:
                delta = make_delta(context, self.versions.path(self.active), directory)
            else:
                build_version(context, bundle, directory)
            rows = None if delta is None else delta.touched
            self._gate(version_checks(context, bundle, directory, active, self.config.gate, rows))
            done = [step for step in self.recorder.run.steps if step.state == "done"]
            told = {"gate": self.checks, "drift": self._drift(directory, bundle), "steps": done}
            report = report.model_copy(update=told)
            report.write(directory)
            manifest = manifest_of(context, version, bundle, report, forced=self.forced, data=self.night.data)
            if delta is not None and self.active is not None:
                manifest = noted(manifest, self.active, delta)
            manifest.with_files(directory).write(directory)
        log.info("step_done", step="version", version=version)

    def _drift(self, directory: Path, bundle: ModelBundle) -> DriftReport | None:
        """Adds the reference statistics to a version directory; returns how it differs from the active version."""
        now = self.now.model_copy(update={"model": model_reference_of(directory)})
        trained_at, started_at = bundle.training.trained_at, self.work.run.started_at
        reference_to_keep(self.then, now, trained_at, started_at).write(directory)
        active = self.active
        if self.then is None or now.model is None or active is None:
            return None
        path = self.versions.path(active)
        checks = self.drifted + compare_versions(self.then, path, now.model, directory)
        report = report_of(active, datetime.now(UTC), checks, self.note)
        for check in report.alarms:
            log.warning("drift", check=check.name, said=check.sentence)
        return report

    def _hold(self, version: str) -> None:
        """Makes the version wait for an approval, and tells so."""
        night = self.night
        log.info("step_begins", step="hold", version=version)
        hold(night.store, self.versions, version, keys=night.keys, notices=night.notices, progress=night.progress)

    def _publish(self, version: str) -> bool:
        self.night.store.ping()
        log.info("step_begins", step="publish", version=version)
        return publish_or_try(
            self.versions.path(version),
            self.night.store,
            self.versions,
            self.night.canary_share,
            keys=self.night.keys,
            superseded_ttl_s=self.night.superseded_ttl_s,
            replay=replaying(self.night.store, self.versions, self.night.keys, self.night.forbidden_days),
            progress=self.night.progress,
        )
