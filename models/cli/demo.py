"""`pymk demo`: a synthetic social network, from nothing to a running service."""

import http.client
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.cli.warm import warm
from models.errors import PymkError, UsageError

if TYPE_CHECKING:
    from models.cli.subprocesses import Children
    from models.schema.vocabulary import Row, UserId
    from models.settings import Settings
    from models.version.tables import Tables

SEED = 7
EXAMPLES = 3
PEOPLE = 5
_HOST = "127.0.0.1"
_READY_S = 120.0


def register(app: typer.Typer) -> None:
    """Adds the commands that run other commands: this one and `pymk warm`."""
    app.command("demo")(demo)
    app.command("warm")(warm)


def demo(
    *,
    users: Annotated[int, typer.Option(min=10, help="Users of the network.")] = 2000,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the service.")] = 8000,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Start service and worker after the night.")] = True,
) -> None:
    """Generate a synthetic social network, run a night on it, and serve it."""
    from models.cli.subprocesses import Children
    from models.settings import Settings
    from models.version.local_versions import Versions
    from models.version.tables import Tables

    settings = Settings()
    if serve:
        _check_port(port)
    _check_home(settings)
    with Children() as children:
        data, is_new = _network(children, settings.home / "demo", users)
        # a network of another size replaces the demo's own: the gate would miss the people of the one before
        force = ("--force",) if is_new and Versions(settings.home).ids() else ()
        report, _, version = children.run("nightly", str(data), *force).rstrip().rpartition("\n")
        if report:
            typer.echo(report)
        tables = Tables.open(Versions(settings.home).path(version) / "tables")
        _show_examples(children, settings.home / "demo", tables)
        if serve:
            _serve(children, port, tables)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise PymkError(f"port {port} is taken ({error.strerror}); choose another with --port") from error


def _check_home(settings: "Settings") -> None:
    """Raises UsageError if the home or store serves another network, which the demo would replace."""
    from models.publishing.pointer import read_pointer
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.local_versions import Versions

    if _marker(settings.home / "demo").exists():
        return
    found = bool(Versions(settings.home).ids())
    if not found:
        store = open_sync(settings)
        try:
            found = read_pointer(store, keys=Keys(settings.namespace)) is not None
        finally:
            store.close()
    if found:
        raise UsageError(
            f"{settings.home} or its store serves a network already, which the demo would replace; "
            "name an empty directory: pymk --home DIR demo"
        )


def _marker(directory: Path) -> Path:
    return directory / "network.json"


def _network(children: "Children", directory: Path, users: int) -> tuple[Path, bool]:
    """The dataset directory of the demo, and whether it is new: unless it exists with this size, seed and release."""
    from importlib import metadata

    from models.system import files

    wanted = {"users": users, "seed": SEED, "release": metadata.version("pymk")}
    data, marker = directory / "DATA", _marker(directory)
    if marker.exists() and data.is_dir() and files.read_json(marker) == wanted:
        return data, False
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / ".DATA.partial"
    files.remove_tree(partial)
    files.remove_tree(data)
    children.run("synth", "--users", str(users), "--seed", str(SEED), "--out", str(partial))
    files.put_in_place(partial, data)
    files.write_json(marker, wanted)
    return data, True


def _show_examples(children: "Children", directory: Path, tables: "Tables") -> None:
    """Prints lists for a few users through `pymk recommend`."""
    import orjson

    from models.system import files

    viewers = directory / "viewers.txt"
    files.write_bytes(viewers, "".join(f"{tables.vocabulary.user_id(row)}\n" for row in _examples(tables)).encode())
    printed = children.run("recommend", "--users", str(viewers), "--limit", str(PEOPLE))
    for line in printed.splitlines():
        _print_list(orjson.loads(line), tables)


def _examples(tables: "Tables") -> list["Row"]:
    """A few active users of medium degree, spread over the network."""
    import numpy as np

    from models.schema.columns import Flag
    from models.schema.vocabulary import Row

    rows = np.flatnonzero((tables.flags & Flag.ACTIVE) != 0)
    ordered = rows[np.argsort(tables.graph.degrees[rows], kind="stable")]
    middle = np.sort(ordered[len(ordered) // 4 : max(3 * len(ordered) // 4, 1)])
    places = np.linspace(0, len(middle) - 1, EXAMPLES).astype(np.int64) if len(middle) else np.zeros(0, np.int64)
    return [Row(int(row)) for row in np.unique(middle[places])]


def _person(user_id: "UserId", tables: "Tables") -> str:
    row = tables.vocabulary.row(user_id)
    name = None if row is None else tables.profile(row).get("name")
    return f"{name} ({user_id})" if name else user_id


def _print_list(answer: dict[str, Any], tables: "Tables") -> None:
    """Prints one list: a table on a terminal, else plain lines."""
    viewer = f"{_person(answer['user_id'], tables)} may know"
    rows = [
        (
            str(shown["position"]),
            _person(shown["user_id"], tables),
            f"{shown['score']:.3f}",
            "; ".join(reason["text"] for reason in shown["reasons"]) or ", ".join(shown["sources"]),
        )
        for shown in answer["recommendations"]
    ]
    if not sys.stdout.isatty():
        typer.echo(
            "\n".join([f"{viewer}:", *(f"  {number}. {who}  {score}  {why}" for number, who, score, why in rows), ""])
        )
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=viewer, title_justify="left", box=box.SIMPLE_HEAD)
    for title, side in (("#", "right"), ("person", "left"), ("score", "right"), ("why", "left")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _serve(children: "Children", port: int, tables: "Tables") -> None:
    """Starts worker and service, prints their address, and waits for Ctrl-C or the end of one of them."""
    children.start("worker")
    children.start("serve", "--port", str(port))
    deadline = time.monotonic() + _READY_S
    while not _is_ready(port):
        children.check()
        if time.monotonic() > deadline:
            raise PymkError(f"the service is not ready on port {port} after {_READY_S:g} seconds; see its log above")
        time.sleep(0.2)
    base = f"http://{_HOST}:{port}"
    typer.echo(f"console  {base}/")
    for row in _examples(tables)[:1]:
        from urllib.parse import quote

        example = quote(tables.vocabulary.user_id(row), safe="")
        typer.echo(f"try      {base}/#user={example}")
        typer.echo(f"         curl '{base}/pymk/recommendations?user_id={example}'")
    typer.echo("Ctrl-C stops service, worker and store")
    sys.stdout.flush()
    children.wait()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:  # not listening yet
        return False
    finally:
        connection.close()
