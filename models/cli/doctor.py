"""`pymk doctor`: looks at store, versions and live state, and mends what does not read back of the latter."""

from collections.abc import Callable, Iterator, Sequence
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
        bool, typer.Option("--repair", help="Rebuild what is damaged of live state from the event log and its archive.")
    ] = False,
) -> None:
    """Check store, served version and live state; exit with 1 if anything is wrong.

    Live state: single numbers such as the clock of changes, records and profiles of users, those that are full, the
    hidden log, the event log, and the records of erasures.

    Run it on the host that holds PYMK_HOME: a repair reads the archive of events there, and what was set aside is
    there. While it runs, the service goes on; a user whose record is damaged gets 503 until it is repaired, and is
    shown to others as before.
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
    yield _checked("numbers", lambda: _numbers(settings, store, keys, repair=repair))
    yield _checked("live records", lambda: _live_records(settings, store, keys, repair=repair))
    yield _checked("full records", lambda: _full_records(store, keys))
    yield _checked("hidden log", lambda: _hidden_log(settings, store, keys, repair=repair))
    yield _checked("event log", lambda: _event_log(settings, store, keys, repair=repair))
    yield _checked("erasures", lambda: _erasures(settings, store, keys, repair=repair))


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


def _numbers(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair_numbers import damaged_numbers, repair_numbers
    from models.publishing.publish import known_cuts, mend_watermark
    from models.version.local_versions import Versions

    damaged = damaged_numbers(store, keys)
    if not damaged:
        return "the clock of changes, the watermark and the fences of nights read back"
    if not repair:
        raise CorruptRecordError(
            f"{_named(damaged)} do not read back, and no night runs; pymk doctor --repair mends them"
        )
    versions = Versions(settings.home)
    if keys.watermark in damaged:
        mend_watermark(store, keys, versions)
    repair_numbers(store, keys, settings.home, known_cuts(store, keys, versions))
    return f"{len(damaged)} written anew: {_named(damaged)}"


def _full_records(store: "SyncStore", keys: "Keys") -> str:
    from models.errors import StoreRefusedError
    from models.event_log.reciprocal_update import full_people

    full = full_people(store, keys)
    if not full:
        return "every record has room for what others do"
    listed = [f"{person} ({size / (1 << 20):.0f} MB)" for person, size in full]
    raise StoreRefusedError(
        f"{len(full)} have no room for what others do: {_named(listed)}; blocks and invitations by others are in "
        "effect for the others alone, and for these users once a night includes them: publish one (pymk nightly), and "
        "a second one if it stays full, since the version before keeps what it lacks; and look at who acts on these "
        "users: it takes more than a million acts since the last nights"
    )


def _live_records(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair import damaged_people
    from models.event_log.repair import repair as repair_records

    damaged = damaged_people(store, keys)
    if not damaged:
        return "none is known to be damaged"
    if not repair:
        raise CorruptRecordError(
            f"{len(damaged)} do not read back: {_named(damaged)}; pymk doctor --repair rebuilds them"
        )
    repaired = repair_records(store, keys, settings.home, damaged)
    return f"{len(repaired)} rebuilt from {sum(repaired.values())} entries of the event log"


def _hidden_log(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair_logs import repair_hidden_log, unread_changes
    from models.event_log.set_aside import SetAside

    unread = unread_changes(store, keys)
    if not unread:
        return "every entry reads back"
    if not repair:
        raise CorruptRecordError(
            f"{len(unread)} entries do not read back: whom they name counts as hidden; pymk doctor --repair puts what "
            "the event log says in their place"
        )
    replaced, kept = repair_hidden_log(store, keys, settings.home), SetAside(settings.home).directory
    return f"{replaced} entries replaced by what the event log says; their bytes are in {kept}"


def _event_log(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair_logs import restore_set_aside

    names = sorted(member.decode() for member in store.members(keys.set_aside))
    if not names:
        return "nothing is set aside"
    if not repair:
        raise CorruptRecordError(f"{_named(names)} did not read back and were set aside; see pymk doctor --repair")
    restored = restore_set_aside(store, keys, settings.home)
    said = f"{restored.read} entries restored, {restored.rebuilt} rebuilt from live records"
    if restored.left:
        raise CorruptRecordError(
            f"{said}; {_named([str(file) for file in restored.left])} do not read back: run this with a release that "
            "reads them, or delete the files and run it again"
        )
    return said


def _erasures(settings: "Settings", store: "SyncStore", keys: "Keys", *, repair: bool) -> str:
    from models.errors import CorruptRecordError
    from models.event_log.repair_erasures import damaged_erasures, repair_erasures

    damaged = damaged_erasures(store, keys)
    if not damaged:
        return "every record that was looked at reads back"
    if not repair:
        raise CorruptRecordError(
            f"{len(damaged)} records do not read back, and these erasures stand still: {_named(damaged)}; pymk doctor "
            "--repair rebuilds them"
        )
    return f"{repair_erasures(store, keys, settings.home)} records rebuilt; the worker goes on with these erasures"


def _named(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
