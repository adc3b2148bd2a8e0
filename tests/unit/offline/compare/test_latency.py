"""`pymk inference` times every family."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from models.errors import UsageError
from offline.cli.latency import register


def test_every_family_is_in_the_table_and_the_file(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command("other")(lambda: None)  # with one command alone typer leaves its name out
    register(app)
    out = tmp_path / "times.json"
    done = CliRunner().invoke(
        app, ["inference", "--runs", "2", "--candidates", "50", "--device", "cpu", "--own-time", "--json", str(out)]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text("utf-8"))
    assert [one["kind"] for one in told].count("fusion") == 6
    for one in told:
        assert f"| {one['kind']} | {one['name']} | cpu |" in done.stdout
        assert one["per_second"] > 0
    refused = CliRunner().invoke(app, ["inference", "--device", "cpu", "--own-time", "--threads", "2"])
    assert isinstance(refused.exception, UsageError)
