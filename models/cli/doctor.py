"""`pymk doctor`: looks at store, versions and live state, and mends live records that do not read back."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.settings import Settings
    from models.store.keys import Keys
    from models.store.protocol import SyncStore


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    detail: str


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of lines.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild damaged live records from the event log and its archive.")
    ] = False,
) -> None:
    """Check store, served version and live records; exit with 1 if anything is wrong.

    Run it on the host that holds PYMK_HOME: a repair reads the archive of events there. While it runs, the service goes
    on; a user whose record is damaged gets 503 until it is repaired, and is shown to others as before.
    """
    import orjson

    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys

    settings = Settings()
    keys = Keys(settings.namespace)
    with closing(open_sync(settings)) as store:
        checks = list(_checks(settings, store, keys, repair=repair))
    if json:
        typer.echo(orjson.dumps([asdict(check) for check in checks], option=orjson.OPT_INDENT_2).decode())
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _checks(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> Iterator[Check]:
    info = store.info()
    yield Check("store", True, f"answers; {info.memory_used_bytes >> 20} MB used; {info.eviction_policy}")
    persists = info.append_only or settings.redis_url is None
    yield Check("persistence", persists, "every write is kept" if persists else "appendonly is no: writes may be lost")
    yield _checked("version", lambda: _version(settings, store, keys))
    yield _checked("live records", lambda: _live_records(settings, store, keys, repair=repair))


def _checked(name: str, check: Callable[[], str]) -> Check:
    """The finding of a check, which raises PymkError if something is wrong."""
    from models.errors import PymkError

    try:
        return Check(name, True, check())
    except PymkError as error:
        return Check(name, False, str(error))


def _version(settings: "Settings", store: "SyncStore", keys: "Keys") -> str:
    from models.errors import VersionError
    from models.publishing.pointer import read_pointer
    from models.publishing.transfer import CARRIED
    from models.version.local_versions import Versions

    pointer = read_pointer(store, keys=keys)
    if pointer is None:
        raise VersionError("none is active yet; pymk nightly DATA publishes one")
    versions = Versions(settings.home)
    if pointer.version not in versions.ids():
        return f"{pointer.version} is active; its files are not on this host"
    versions.manifest(pointer.version).verify(versions.path(pointer.version), CARRIED)
    return f"{pointer.version} is active, and its files are whole"


def _live_records(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair import damaged_people
    from models.event_log.repair import repair as repair_records

    damaged = damaged_people(store, keys)
    if not damaged:
        return "none is known to be damaged"
    if not repair:
        named = ", ".join(damaged[:5]) + (", ..." if len(damaged) > 5 else "")
        raise CorruptRecordError(f"{len(damaged)} do not read back: {named}; pymk doctor --repair rebuilds them")
    repaired = repair_records(store, keys, settings.home, damaged)
    return f"{len(repaired)} rebuilt from {sum(repaired.values())} entries of the event log"
