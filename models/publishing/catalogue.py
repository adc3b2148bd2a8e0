"""Lists the published versions on this host's disk and in the store."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from models.errors import ArtefactError, CorruptRecordError
from models.publishing.canary_record import running_canary
from models.publishing.decisions import Decision, read_decisions
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.transfer import Loader
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest

VersionState = Literal["active", "canary", "waiting", "published", "rejected"]


class Entry(BaseModel):
    """One version, as the command line and the service list it."""

    model_config = ConfigDict(frozen=True)

    version: str
    active: bool
    """it is served"""
    previous: bool
    """rollback activates it"""
    on_disk: bool
    """this host has all its files"""
    in_store: bool
    """the store has all of it, with or without expiry"""
    published_at: AwareDatetime | None = None
    users: int | None = None
    bytes: int | None = None
    """size on disk"""
    recall: float | None = None
    """recall@20 of its own evaluation"""
    ratio: float | None = None
    """the ratio to the recall of resource allocation"""
    state: VersionState = "published"
    """canary: a share of the viewers is served from it; waiting: for an approval; rejected: by somebody, and removed;
    published: none of the others, can be activated"""
    forced: bool = False
    fault: str | None = None
    """why its manifest cannot be read"""


def catalogue(store: SyncStore, versions: Versions, *, keys: Keys) -> list[Entry]:
    """Every version that is on this host's disk or in the store, newest first."""
    pointer, loader = read_pointer(store, keys=keys), Loader(store, keys)
    order = (pointer.version, *pointer.before) if pointer else ()
    decided, canary = read_decisions(store, keys), _canary(store, keys, pointer)
    rejected = [version for version, decision in decided.items() if decision.state == "rejected"]
    there = {*versions.ids(), *loader.held()}
    return [
        _entry(version, order, versions, loader, _state(version, order, decided.get(version), canary))
        if version in there
        else Entry(version=version, active=False, previous=False, on_disk=False, in_store=False, state="rejected")
        for version in sorted({*there, *rejected}, reverse=True)
    ]


def _canary(store: SyncStore, keys: Keys, pointer: ActivePointer | None) -> str | None:
    try:
        canary = running_canary(store, keys, pointer)
    except CorruptRecordError:  # nobody is served from it
        return None
    return None if canary is None else canary.version


def _state(version: str, order: tuple[str, ...], decision: Decision | None, canary: str | None) -> VersionState:
    if order[:1] == (version,):
        return "active"
    if version == canary:
        return "canary"
    return decision.state if decision is not None and decision.state != "approved" else "published"


def _entry(version: str, order: tuple[str, ...], versions: Versions, loader: Loader, state: VersionState) -> Entry:
    locations = {
        "active": order[:1] == (version,),
        "previous": order[1:2] == (version,),
        "on_disk": False,
        "in_store": False,
    }
    manifest: Manifest | None = None
    fault = None
    try:
        if stored := loader.manifest(version):
            manifest, locations["in_store"] = stored, True
        if version in versions.ids():
            manifest = versions.manifest(version)
            locations["on_disk"] = versions.is_whole(version)
    except ArtefactError as error:
        fault = str(error)
    if manifest is None:
        return Entry(version=version, **locations, state=state, fault=fault or "only partly loaded into the store")
    return Entry(
        version=version,
        **locations,
        state=state,
        published_at=manifest.published_at,
        users=manifest.users,
        bytes=sum(record.bytes for record in manifest.files.values()),
        recall=manifest.metrics.get("recall@20"),
        ratio=manifest.metrics.get("ratio"),
        forced=manifest.forced,
        fault=fault,
    )
