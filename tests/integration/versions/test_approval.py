"""Versions that wait: approved and rejected once each, over restarts, from another host; and the audit trail."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.errors import StoreUnavailableError, VersionError
from models.publishing.approvals.approval import approve, hold, reject
from models.publishing.approvals.notices import Notices
from models.publishing.audit import Actor, read_audit, write_audit
from models.publishing.canary import publish_or_try, start_canary
from models.publishing.canary_ending import promote_canary
from models.publishing.canary_record import Canary
from models.publishing.catalogue import catalogue
from models.publishing.decisions import read_decisions
from models.publishing.pointer import ActivePointer
from models.publishing.publish import publish
from models.publishing.transfer import Loader
from models.store.keys import Keys
from models.version.local_versions import Versions
from tests.support.homes import Home
from tests.support.stores import DyingStore
from tests.support.versions import MakeVersion, PublishingHarness, make_servable

KEYS = Keys("pymk")
ANN = Actor("ann@host", "looks good")


def held(harness: PublishingHarness) -> str:
    version = harness.make()
    assert hold(harness.store, harness.versions, version, keys=harness.keys)
    return version


def states(harness: PublishingHarness) -> dict[str, str]:
    return {one.version: one.state for one in catalogue(harness.store, harness.versions, keys=harness.keys)}


def test_a_version_waits_and_is_approved_once(harness: PublishingHarness) -> None:
    first, second = harness.publish(), held(harness)
    assert states(harness) == {first: "active", second: "waiting"}
    assert not hold(harness.store, harness.versions, second, keys=harness.keys), "it waits already"
    with pytest.raises(VersionError, match=f"waits for an approval: pymk approve {second}"):
        harness.activate(second)
    approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert (harness.active, states(harness)) == (second, {first: "published", second: "active"})
    with pytest.raises(VersionError, match=r"was approved already, by ann@host"):
        approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    with pytest.raises(VersionError, match=r"was approved already"):
        reject(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert harness.rollback() == first
    harness.activate(second)
    assert harness.active == second, "what was approved can be activated like any other"


def test_a_rejected_version_is_swept_and_listed(harness: PublishingHarness) -> None:
    first, second = harness.publish(), held(harness)
    assert harness.of_version(second)
    reject(harness.store, harness.versions, second, keys=harness.keys, by=Actor("bea@host", "too few people"))
    assert harness.active == first
    assert states(harness) == {first: "active", second: "rejected"}
    assert harness.versions.ids() == [first]
    assert not harness.of_version(second)
    for decide in (approve, reject):
        with pytest.raises(VersionError, match="was rejected already, by bea@host"):
            decide(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert read_decisions(harness.store, harness.keys)[second].note == "too few people"


def test_what_does_not_wait_is_refused(harness: PublishingHarness) -> None:
    first, other = harness.publish(), harness.make()
    for version, said in ((first, "it is active"), (other, "does not wait"), ("20200101T000000Z-000000", "does not")):
        with pytest.raises(VersionError, match=said):
            approve(harness.store, harness.versions, version, keys=harness.keys, by=ANN)
    with pytest.raises(VersionError, match="is no version id"):
        reject(harness.store, harness.versions, "../x", keys=harness.keys, by=ANN)


def test_waiting_versions_outlive_other_publications_and_older_ones_are_superseded(
    harness: PublishingHarness,
) -> None:
    waits = [held(harness) for _ in range(2)]
    for _ in range(5):
        harness.publish()
    assert set(waits) <= set(harness.versions.ids())
    assert all(harness.never_expires(version) for version in waits)
    approve(harness.store, harness.versions, waits[1], keys=harness.keys, by=ANN)
    assert harness.active == waits[1]
    assert states(harness)[waits[0]] == "rejected"
    assert read_decisions(harness.store, harness.keys)[waits[0]].note == f"superseded by {waits[1]}"


def test_a_host_without_the_files_approves_what_the_store_has(harness: PublishingHarness, tmp_path: Path) -> None:
    harness.publish()
    second, elsewhere = held(harness), Versions(tmp_path / "elsewhere")
    elsewhere.directory.mkdir(parents=True)
    approve(harness.store, elsewhere, second, keys=harness.keys, by=ANN)
    assert harness.active == second


def test_a_host_sweeps_what_another_one_rejected(harness: PublishingHarness, tmp_path: Path) -> None:
    second, elsewhere = held(harness), Versions(tmp_path / "elsewhere")
    elsewhere.directory.mkdir(parents=True)
    reject(harness.store, elsewhere, second, keys=harness.keys, by=ANN)
    assert second in harness.versions.ids()
    harness.publish()
    assert second not in harness.versions.ids()


def test_a_version_that_another_host_rejected_is_not_activated(harness: PublishingHarness, tmp_path: Path) -> None:
    first, second, elsewhere = harness.publish(), held(harness), Versions(tmp_path / "elsewhere")
    elsewhere.directory.mkdir(parents=True)
    reject(harness.store, elsewhere, second, keys=harness.keys, by=Actor("bea@host", "too few people"))
    assert harness.versions.is_whole(second), "its files are here still"
    said = r"was rejected, by bea@host at \d{4}-.* UTC \(too few people\)"
    with pytest.raises(VersionError, match=said):
        harness.activate(second)
    with pytest.raises(VersionError, match=said):
        start_canary(harness.store, harness.versions, second, 0.05, keys=harness.keys, by=ANN)
    for share in (None, 0.05):
        with pytest.raises(VersionError, match=said):
            publish_or_try(harness.versions.path(second), harness.store, harness.versions, share, keys=harness.keys)
    assert (harness.active, states(harness)) == (first, {first: "active", second: "rejected"})


def test_a_version_that_was_removed_while_it_waited_is_no_longer_waited_for(harness: PublishingHarness) -> None:
    first, second = harness.publish(), held(harness)
    Loader(harness.store, harness.keys).remove(second)
    harness.versions.remove(second)
    with pytest.raises(VersionError, match="was removed from store and disk while it waited"):
        approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert states(harness) == {first: "active", second: "rejected"}
    with pytest.raises(VersionError, match="was rejected already, by pymk"):
        approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)


def test_a_failed_approval_leaves_the_version_waiting(harness: PublishingHarness) -> None:
    first, second = harness.publish(), held(harness)

    def fail(*_: object) -> None:
        raise VersionError("the replay failed")

    with pytest.raises(VersionError, match="the replay failed"):
        approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN, replay=fail)
    assert (harness.active, states(harness)[second]) == (first, "waiting")
    approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert harness.active == second


def approve_with_share(harness: PublishingHarness, version: str) -> ActivePointer | Canary:
    return approve(harness.store, harness.versions, version, keys=harness.keys, by=ANN, canary_share=0.05)


def test_with_a_share_an_approved_version_is_tried_on_it_first(harness: PublishingHarness) -> None:
    first, older, second = harness.publish(), held(harness), held(harness)
    served = approve_with_share(harness, second)
    assert isinstance(served, Canary)
    assert (served.version, served.control, served.share) == (second, first, 0.05)
    assert (harness.active, states(harness)) == (first, {first: "active", older: "rejected", second: "canary"})
    assert read_decisions(harness.store, harness.keys)[second].state == "approved"
    for decide in (approve, reject):
        with pytest.raises(VersionError, match="was approved already, by ann@host"):
            decide(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    told = [(entry.what, entry.version) for entry in read_audit(harness.store, harness.keys)][:3]
    assert told == [("approved", second), ("rejected", older), ("canary_started", second)]
    promote_canary(harness.store, harness.versions, keys=harness.keys, by=ANN)
    assert harness.active == second


def test_with_a_share_the_first_version_is_published_to_everybody(harness: PublishingHarness) -> None:
    version = held(harness)
    assert isinstance(approve_with_share(harness, version), ActivePointer)
    assert (harness.active, states(harness)) == (version, {version: "active"})


def test_a_version_whose_approval_was_interrupted_once_it_was_tried_is_not_rejected(
    harness: PublishingHarness,
) -> None:
    first, second = harness.publish(), held(harness)
    dying = DyingStore(harness.store, 0, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.canary)
    with pytest.raises(StoreUnavailableError):
        approve(dying, harness.versions, second, keys=harness.keys, by=ANN, canary_share=0.05)
    assert states(harness)[second] == "canary"
    with pytest.raises(VersionError, match=f"pymk approve {second} completes"):
        reject(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert isinstance(approve_with_share(harness, second), Canary)
    assert (harness.active, read_decisions(harness.store, harness.keys)[second].state) == (first, "approved")


def test_the_trail_has_every_switch_with_who_when_and_why(harness: PublishingHarness) -> None:
    first = harness.publish()
    second = harness.publish()
    harness.publish(version=second)
    assert harness.rollback() == first
    harness.activate(first)
    harness.activate(second)
    entries = read_audit(harness.store, harness.keys)
    told = [(entry.what, entry.version, entry.before) for entry in entries]
    assert told == [
        ("activated", second, first),
        ("rolled_back", first, second),
        ("published", second, first),
        ("published", first, None),
    ], "a switch to what is served is none"
    assert all("@" in entry.who for entry in entries)
    assert sorted(entries, key=lambda entry: entry.at, reverse=True) == entries


def test_a_switch_that_was_killed_before_its_entry_is_noted_by_the_next_call(harness: PublishingHarness) -> None:
    version = harness.publish()
    harness.store.delete([harness.keys.audit])
    harness.publish(version=version)
    assert [entry.what for entry in read_audit(harness.store, harness.keys)] == ["published"]


def test_the_trail_is_bounded(harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.publishing.audit.MOST", 20)
    for number in range(50):
        write_audit(harness.store, harness.keys, "activated", "v", replace(ANN, note=str(number)))
    notes = [entry.note for entry in read_audit(harness.store, harness.keys)]
    assert 20 <= len(notes) <= 22
    assert notes[0] == "49"


def test_webhook_and_command_are_told_and_their_failures_stop_nothing(
    harness: PublishingHarness, tmp_path: Path
) -> None:
    posted: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204 if self.path == "/good" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    manifest = harness.versions.manifest(harness.make())
    told = tmp_path / "told"
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with capture_logs() as logged:
            Notices(f"{address}/good", f"sh -c 'cat > {told}; echo $0 >> {told}'").waiting(manifest)
        assert not logged
        with capture_logs() as logged:
            Notices(f"{address}/bad", "false").waiting(manifest)
            Notices("http://127.0.0.1:9/", "/no/such/command").waiting(manifest)
        server.shutdown()
        thread.join()
    assert json.loads(posted[0])["version"] == manifest.version
    assert told.read_text().startswith(posted[0].decode())
    assert told.read_text().endswith(f"{manifest.version}\n")
    assert [entry["event"] for entry in logged] == ["notice_failed"] * 4


def test_commands_decide_over_a_restart_of_the_store(tmp_path: Path, make_version: MakeVersion) -> None:
    home = Home(tmp_path, timeout_s=300)
    trying = Home(tmp_path, {"PYMK_CANARY": "true", "PYMK_CANARY_STEPS": "5,25,100"}, timeout_s=300)
    versions = [make_version(tmp_path) for _ in range(3)]
    for version in versions:
        make_servable(tmp_path, version)
    with home.opened() as store:
        publish(home.versions.path(versions[0]), store, home.versions, keys=KEYS)
        for version in versions[1:]:
            assert hold(store, home.versions, version, keys=KEYS)
    # the embedded store ends with its last command: everything below is after a restart
    listed = {one["version"]: one["state"] for one in json.loads(home.run("versions", "--json").stdout)}
    assert listed == {versions[0]: "active", **dict.fromkeys(versions[1:], "waiting")}
    assert "waiting" in home.run("versions").stdout
    rejected = home.run("reject", versions[1], "--note", "too small")
    assert (rejected.returncode, rejected.stdout) == (0, f"{versions[1]}\n"), rejected.stderr
    approved = home.run("approve", versions[2], "--note", "looked at the report")
    assert (approved.returncode, approved.stdout) == (0, f"{versions[2]}\n"), approved.stderr
    again = home.run("approve", versions[2])
    assert again.returncode == 1
    assert "was approved already" in again.stderr
    assert home.active() == versions[2]
    trail = json.loads(home.run("audit", "--json").stdout)
    assert [(one["what"], one["note"]) for one in trail[:3]] == [
        ("approved", "looked at the report"),
        ("published", "looked at the report"),
        ("rejected", "too small"),
    ]
    assert "rejected" in home.run("audit", "--limit", "3").stdout
    assert home.run("rollback", "--note", "odd lists").returncode == 0
    (latest,) = json.loads(home.run("audit", "--json", "--limit", "1").stdout)
    assert (latest["what"], latest["version"], latest["note"]) == ("rolled_back", versions[0], "odd lists")
    last = make_version(tmp_path)
    make_servable(tmp_path, last)
    with home.opened() as store:
        assert hold(store, home.versions, last, keys=KEYS)
    tried = trying.run("approve", last)
    assert (tried.returncode, tried.stdout) == (0, f"{last}\n"), tried.stderr
    assert f"{last} is served to 5% of the viewers first, beside {versions[0]}" in tried.stderr
    assert home.active() == versions[0]
