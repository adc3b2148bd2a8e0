"""The nightly job: from a dataset directory to the active version."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from models.candidate_refresh.replay import replaying
from models.erasure.purge import purge_once
from models.errors import (
    ArtefactError,
    DatasetError,
    GateRefusedError,
    PymkError,
    UsageError,
    VersionError,
)
from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from models.live_state.erased_ids import read_erased
from models.publishing import serving_processes
from models.publishing.pointer import read_pointer
from models.publishing.publish import publish
from models.publishing.transfer import Progress, quiet
from models.schema.candidate_sources import Source
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.schema.pair_features import PAIR_FEATURES
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from models.system.clock import MICROSECONDS, SETTLE_US
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from offline.evaluation.gate import check
from offline.evaluation.report import Ratio, Report
from offline.features.temporal_graph import (
    Friendships,
    UserHistory,
    friendships,
    user_history,
)
from offline.night.build_version import make_version
from offline.night.config import NightConfig
from offline.night.evaluate import evaluate
from offline.night.model_bundle import ModelBundle
from offline.night.train import train
from offline.night.workspace import Workspace, fingerprint, workspace
from offline.snapshot.live_events import LiveEvents, read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot

Retrain = Literal["auto", "always", "never"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Night:
    """One run's surroundings; `run` is the job."""

    data: Path
    home: Path
    store: SyncStore
    keys: Keys
    config: NightConfig
    retrain: Retrain = "auto"
    force: bool = False
    forbidden_days: int = FORBIDDEN_DAYS
    superseded_ttl_s: float = SUPERSEDED_TTL_S
    settle_us: int = SETTLE_US
    """how far before its start the night cuts the live events, in which they reach the log"""
    progress: Progress = quiet

    def run(self) -> tuple[str, Report]:
        """Snapshot, training, evaluation, gate, version, publish; returns the version's id and its report.

        Finished steps of a killed run with the same data and settings are taken over. Raises DatasetError,
        GateRefusedError and what publishing raises; the active version is then untouched.
        """
        release = metadata.version("pymk")
        erased = read_erased(self.store, self.keys).digest  # what was begun with somebody who is erased is begun anew
        settings = self.config.model_dump_json(), self.retrain, str(self.forbidden_days), release, erased
        marks = fingerprint(self.data, *settings)
        with workspace(self.home, marks) as work:
            made = _Steps(self, work).run()
        self._finish_erasures(made[0])
        return made

    def _finish_erasures(self, version: str) -> None:
        """Takes away what the version that was served before has of erased people; what is left to do the worker does
        later."""
        try:
            if self._erase() and not serving_processes.wait_until_served(self.store, version, keys=self.keys):
                self._erase()
        except PymkError as error:
            log.warning("erasures_left_to_the_worker", error=str(error))

    def _erase(self) -> int:
        return purge_once(self.store, self.keys, Versions(self.home), settle_us=self.settle_us)


class _Steps:
    """The steps of one run, each skipped where its directory is there."""

    def __init__(self, night: Night, work: Workspace) -> None:
        self.night, self.work, self.config = night, work, night.config
        self.versions = Versions(night.home)

    def run(self) -> tuple[str, Report]:
        version = self.work.run.version
        if version not in self.versions.ids() or not self.versions.is_whole(version):
            self._make()
        self.night.store.ping()
        log.info("step_begins", step="publish", version=version)
        publish(
            self.versions.path(version),
            self.night.store,
            self.versions,
            keys=self.night.keys,
            superseded_ttl_s=self.night.superseded_ttl_s,
            replay=replaying(self.night.store, self.versions, self.night.keys, self.night.forbidden_days),
            progress=self.night.progress,
        )
        return version, Report.read(self.versions.path(version))

    def _make(self) -> None:
        former = self._former()
        snapshot = self._snapshot()
        if former is not None:
            former = former.without(read_erased(self.night.store, self.night.keys), snapshot.profiles)
        whole = friendships(snapshot)
        reason = self._why_train(snapshot, whole, former)
        if self.work.is_done("training"):
            encoder = ModelBundle.open(self.work.step("training")).encoder
        elif former is not None and reason is None:
            encoder = former.encoder
        else:
            encoder = ProfileEncoder.fit(snapshot.profiles, self.config.text_model)
        everybody = user_history(snapshot, encoder)
        judged = whole.split_edges(self.config.split.judged_share, self.config.split.seed)
        readable = judged.kept
        moment = judged.moment(snapshot.cut)
        bundle = self._learnt(snapshot, everybody, readable, whole, moment, encoder, former, reason)
        report = self._report(everybody, readable, judged.hidden, moment, bundle, snapshot)
        forced = self._gate(report)
        self._version(snapshot, whole, everybody, bundle, report, forced)

    def _snapshot(self) -> Snapshot:
        if not self.work.is_done("snapshot"):
            started = self.work.run.started_at
            log.info("step_begins", step="snapshot")
            write_snapshot(
                self.night.data,
                self.work.step("snapshot"),
                started_at=started,
                forbidden_days=self.night.forbidden_days,
                live=self._live(),
            )
        snapshot = Snapshot.open(self.work.step("snapshot"))
        if not snapshot.n:
            raise DatasetError(f"{self.night.data} names nobody: its users and connections files have no rows")
        return snapshot

    def _live(self) -> LiveEvents:
        """What was acknowledged before the run, less the time in which it may still be on its way to the log."""
        cut = int(self.work.run.started_at.timestamp() * MICROSECONDS) - self.night.settle_us
        live = read_live_events(self.night.home, self.night.store, self.night.keys, cut=cut)
        log.info("live_events_read", events=live.events.height, profiles=len(live.profiles), cut=cut)
        return live

    def _former(self) -> ModelBundle | None:
        """What the active version was made with, where this host has it and this release can read it.

        Raises UsageError where there is no such thing and the night may not train.
        """
        former = None
        pointer = read_pointer(self.night.store, keys=self.night.keys)
        if pointer is not None:
            try:
                former = ModelBundle.open(self.versions.path(pointer.version))
            except (ArtefactError, VersionError) as error:
                log.warning("former_weights_unreadable", version=pointer.version, error=str(error))
        if former is None and self.night.retrain == "never":
            raise UsageError("--retrain never needs an active version whose weights this host has; there is none")
        return former

    def _why_train(self, snapshot: Snapshot, whole: Friendships, former: ModelBundle | None) -> str | None:
        """Why this night trains, or None where it takes the former weights."""
        if self.night.retrain == "never":
            return None
        if former is None:
            return "nothing was learnt before"
        if self.night.retrain == "always":
            return "--retrain always"
        if former.training.configuration != self.config.learning():
            return "the configuration of what is learnt changed"
        days, growth = self.config.retrain_after_days, self.config.retrain_after_growth
        return former.is_due(self.work.run.started_at, snapshot.n, whole.count, days, growth)

    def _learnt(
        self,
        snapshot: Snapshot,
        everybody: UserHistory,
        readable: Friendships,
        whole: Friendships,
        moment: int,
        encoder: ProfileEncoder,
        former: ModelBundle | None,
        reason: str | None,
    ) -> ModelBundle:
        if not self.work.is_done("training"):
            log.info("training" if reason else "training_skipped", reason=reason or "the former weights are good")
            with self.work.making("training") as aside:
                if former is not None and reason is None:
                    former.save(aside)
                else:
                    started, scratch = self.work.run.started_at, aside / "scratch"
                    bundle = train(
                        snapshot, encoder, everybody, readable, whole, moment, self.config, scratch, trained_at=started
                    )
                    bundle.save(aside)
                    files.remove_tree(scratch)
        return ModelBundle.open(self.work.step("training"))

    def _report(
        self,
        everybody: UserHistory,
        readable: Friendships,
        held_out: Graph,
        moment: int,
        bundle: ModelBundle,
        snapshot: Snapshot,
    ) -> Report:
        if not self.work.is_done("evaluation"):
            with self.work.making("evaluation") as aside:
                people = everybody.before(moment, readable)
                sampled_viewers = np.flatnonzero((held_out.degrees > 0) & people.suggestible)
                drawn = np.random.default_rng(self.config.split.seed).permutation(sampled_viewers)
                users = np.sort(drawn[: self.config.split.judged_users]).astype(np.int64)
                report = evaluate(
                    readable.graph,
                    held_out,
                    people,
                    bundle,
                    bundle.reference(snapshot.vocabulary),
                    users,
                    self.work.step("training") / "model",
                    aside / "scratch",
                    self.config,
                )
                files.remove_tree(aside / "scratch")
                report.write(aside)
        return Report.read(self.work.step("evaluation"))

    def _gate(self, report: Report) -> bool:
        """Whether the gate was overridden. Raises GateRefusedError where it refuses and nobody does."""
        try:
            log.info("gate_passed", verdict=check(report, self._former_ratio()))
        except GateRefusedError as refusal:
            if not self.night.force:
                raise
            log.warning("gate_overridden", refusal=str(refusal))
            return True
        return False

    def _former_ratio(self) -> Ratio | None:
        """What the active version reached against resource allocation in its own report."""
        pointer = read_pointer(self.night.store, keys=self.night.keys)
        if pointer is None:
            return None
        try:
            return Report.read(self.versions.path(pointer.version)).ratio
        except ArtefactError as error:
            log.warning("former_report_unreadable", version=pointer.version, error=str(error))
            return None

    def _version(
        self,
        snapshot: Snapshot,
        whole: Friendships,
        everybody: UserHistory,
        bundle: ModelBundle,
        report: Report,
        forced: bool,
    ) -> None:
        """Features, embeddings and candidates of the whole graph, as a version directory."""
        version = self.work.run.version
        log.info("step_begins", step="version")
        with self.versions.staging(version) as directory:
            people = everybody.before(snapshot.cut + 1, whole)
            bundle.save(directory)
            make_version(snapshot, whole, people, bundle, directory, self.config)
            report.write(directory)
            manifest = Manifest(
                version=version,
                created_at=self.work.run.started_at,
                cut=datetime.fromtimestamp(snapshot.cut, UTC),
                live_cut=snapshot.live_cut,
                erasures=snapshot.description.erasures,
                users=snapshot.n,
                connections=whole.count,
                git_commit=_git_commit(),
                vocabulary=snapshot.vocabulary.digest,
                pair_features=PAIR_FEATURES,
                sources=tuple(source.name.lower() for source in Source if source.name),
                ranker={
                    "kind": "resource_allocation" if bundle.ranker is None else "two_tower",
                    "trained_at": bundle.training.trained_at.isoformat(),
                    **bundle.training.metrics,
                },
                metrics=report.summary(),
                forced=forced,
                dataset={
                    "directory": str(self.night.data.resolve()),
                    "digest": snapshot.digest,
                    **snapshot.description.counts.model_dump(),
                },
            )
            manifest.with_files(directory).write(directory)
        log.info("step_done", step="version", version=version)


def _git_commit() -> str | None:
    """The commit of the code that runs, where it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
