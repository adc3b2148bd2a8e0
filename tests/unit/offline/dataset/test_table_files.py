"""In which files a table may be, and how CSV may be written."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import structlog
from backports import zstd

from models.errors import DatasetError
from models.schema.columns import Kind
from offline.dataset.reader import Dataset, read_dataset
from offline.dataset.text import blocks, csv_table

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
USERS = "user_id,company,discoverable\nann,Acme,f\nbob,Bolt,t\n"
PAIRS = "user_id,other_id\nann,bob\n"


def dataset(directory: Path, files: dict[str, str | bytes]) -> Dataset:
    """The dataset of these files by name, with PAIRS as connections unless they name others."""
    if not any(name.startswith("connections") for name in files):
        files = {"connections.csv": PAIRS} | files
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_dataset(directory, started_at=STARTED)


def people(directory: Path, files: dict[str, str | bytes]) -> list[dict[str, Any]]:
    return sorted(dataset(directory, files).users.frame.to_dicts(), key=lambda row: row["user_id"])


def refusal(directory: Path, files: dict[str, str | bytes]) -> str:
    with pytest.raises(DatasetError) as raised:
        dataset(directory, files)
    return str(raised.value).replace(f"{directory}/", "").replace(str(directory), "DATA")


def parquet(directory: Path, name: str, frame: pl.DataFrame) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


ANN_AND_BOB = [
    {"user_id": "ann", "company": "Acme", "discoverable": False},
    {"user_id": "bob", "company": "Bolt", "discoverable": True},
]
JSONL = '{"user_id":"ann","company":"Acme","discoverable":"f"}\n{"user_id":"bob","company":"Bolt","discoverable":1.0}\n'
FORMS: dict[str, bytes] = {
    "users.csv.gz": gzip.compress(USERS[:30].encode()) + gzip.compress(USERS[30:].encode()),
    "users.csv.zst": zstd.compress(USERS[:30].encode()) + zstd.compress(USERS[30:].encode()),
    "users.tsv": USERS.replace(",", "\t").encode(),
    "users.tsv.gz": gzip.compress(USERS.replace(",", "\t").encode()),
    "users.ndjson": JSONL.encode(),
    "users.jsonl.zst": zstd.compress(JSONL.encode()),
    "users.ndjson.gz": gzip.compress(JSONL.encode()),
}


@pytest.mark.parametrize(("name", "content"), FORMS.items(), ids=FORMS.keys())
def test_every_form_of_a_text_file(tmp_path: Path, name: str, content: bytes) -> None:
    assert people(tmp_path, {name: content}) == ANN_AND_BOB


@pytest.mark.parametrize("name", ["users.csv.gz", "users.csv.zst", "users.jsonl.gz"])
def test_a_packed_file_that_is_cut_short_or_none(tmp_path: Path, name: str) -> None:
    pack = zstd.compress if name.endswith("zst") else gzip.compress
    packed = pack(USERS.encode() * 100)
    for content in (packed[: len(packed) // 2], packed[:-1], b"not packed at all"):
        assert refusal(tmp_path, {name: content}).startswith(f"{name} is damaged or cut short: ")


@pytest.mark.parametrize(("delimiter", "said"), [(";", "semicolon"), ("\t", "tab")])
def test_delimiters_are_found_and_said(tmp_path: Path, delimiter: str, said: str) -> None:
    with structlog.testing.capture_logs() as logged:
        read = people(tmp_path, {"users.csv": USERS.replace(",", delimiter).replace("Acme", '"Acme, Inc."')})
    assert read[0]["company"] == "Acme, Inc."
    assert {"event": "delimiter_found", "log_level": "info", "file": "users.csv", "delimiter": said} in logged


def test_another_delimiter_has_to_be_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {name: text.replace(",", "|") for name, text in (("users.csv", USERS),)}
    files["connections.csv"] = PAIRS.replace(",", "|")
    assert refusal(tmp_path, files) == (
        "users.csv, line 1: the column 'user_id' is missing; the header names 'user_id|company|discoverable'; name what"
        " separates them in schema.toml: delimiter under [csv]"
    )
    assert people(tmp_path, files | {"schema.toml": '[csv]\ndelimiter = "|"\n'}) == ANN_AND_BOB


ESCAPED = (
    'user_id,discoverable,about\n10,true,"a 5\\" disc"\n11,false,plain\n12,true,"a 6\\" disc"\n13,,a\\, b\n14,,\\N\n'
)


def test_quotes_are_escaped_as_schema_toml_says(tmp_path: Path) -> None:
    read = people(tmp_path, {"users.csv": ESCAPED, "schema.toml": '[csv]\nescape = "\\\\"\n[users]\nabout = "text"\n'})
    assert [(row["user_id"], row["discoverable"], row["about"]) for row in read] == [
        ("10", True, 'a 5" disc'),
        ("11", False, "plain"),
        ("12", True, 'a 6" disc'),
        ("13", None, "a, b"),
        ("14", None, None),
    ]


def test_without_quotation_marks_they_are_text(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"users.csv": 'user_id,about\nu1,5"\nu2,"x\n'}
    read = people(tmp_path, files | {"schema.toml": '[csv]\nquote = ""\n'})
    assert [row["about"] for row in read] == ['5"', '"x']


def test_a_backslash_before_a_quotation_mark_is_said(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        assert people(tmp_path, {"users.csv": 'user_id,path\nu1,"C:\\"\n'})[0]["path"] == "C:\\"
    assert [one["line"] for one in logged if one["event"] == "backslash_before_quotation_mark"] == [2]


def test_a_quote_that_never_closes_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 100)
    monkeypatch.setattr(csv_table, "LONGEST", 1000)
    users = USERS + 'cid,"Acme,t\n' + "".join(f"u{number},Acme,t\n" for number in range(1000))
    message = "users.csv, line 4, column 'company': '\"Acme' begins with a quotation mark that is never closed"
    assert refusal(tmp_path, {"users.csv": users}) == message


SETTINGS = {
    '[csv]\ndelimeter = ";"\n': "line 2: [csv] 'delimeter' is no setting of CSV files; did you mean delimiter?",
    '[csv]\ndelimiter = ";;"\n': "line 2: [csv] delimiter: ';;' is not one character of ASCII",
    "[csv]\nquote = 1\n": 'line 2: [csv] quote: 1 is not one character of ASCII, or "" for none',
    '[csv]\ndelimiter = ";"\nescape = ";"\n': "line 1: [csv] two of delimiter, quote and escape are the same",
    'csv = ";"\n': "line 1: csv: ';' is no section; write [csv] and below it delimiter, quote or escape",
    'null_words = "NULL"\n': "line 1: null_words: 'NULL' is not a list of words in quotation marks",
    'null_word = ["NULL"]\n': "line 1: 'null_word' is no part of this file; did you mean null_words?",
}


@pytest.mark.parametrize(("schema", "message"), SETTINGS.items())
def test_settings_that_are_wrong(tmp_path: Path, schema: str, message: str) -> None:
    assert refusal(tmp_path, {"users.csv": USERS, "schema.toml": schema}) == f"schema.toml, {message}"


NULLS = (
    "user_id,company,age,skills,name,discoverable\nNA,NULL,31,go|NULL,Null,\nNULL,N/A,\\N,NA,Ann,NULL\nx,Null,32,go,,\n"
)


def test_null_words_are_empty_but_never_ids(tmp_path: Path) -> None:
    schema = '[users]\nskills = "multi"\n'
    files: dict[str, str | bytes] = {"users.csv": NULLS, "schema.toml": schema}
    files["connections.csv"] = "user_id,other_id,created_at\nNA,NULL,NULL\n"
    with structlog.testing.capture_logs() as logged:
        read = dataset(tmp_path, files)
    assert read.users.frame.sort("user_id").to_dicts() == [
        {"user_id": "NA", "age": 31.0, "company": None, "discoverable": None, "name": "Null", "skills": ["go"]},
        {"user_id": "NULL", "age": None, "company": None, "discoverable": None, "name": "Ann", "skills": None},
        {"user_id": "x", "age": 32.0, "company": "Null", "discoverable": None, "name": None, "skills": ["go"]},
    ]
    assert read.connections.row(0) == ("NA", "NULL", None)
    assert read.users.kinds["age"] is Kind.NUMERIC
    said = next(one for one in logged if one["event"] == "null_words_read_as_empty")
    assert said["cells"] == {"age": 1, "company": 2, "discoverable": 1, "skills": 1}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_null_words_in_other_formats(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"user_id": "NA", "company": "NULL", "skills": ["go", "N/A"]},
        {"user_id": "b", "company": "Bolt", "skills": []},
    ]
    parquet(tmp_path, "users.parquet", pl.DataFrame(rows))
    if suffix == "jsonl":
        (tmp_path / "users.parquet").unlink()
        (tmp_path / "users.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert people(tmp_path, {}) == [
        {"user_id": "NA", "company": None, "skills": ["go"]},
        {"user_id": "b", "company": "Bolt", "skills": None},
    ]


def test_null_words_by_a_setting(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"users.csv": "user_id,country\na,NA\nb,-\n"}
    read = people(tmp_path, files | {"schema.toml": 'null_words = ["-"]\n'})
    assert [row["country"] for row in read] == ["NA", None]
    read = people(tmp_path, {"schema.toml": "null_words = []\n"})
    assert [row["country"] for row in read] == ["NA", "-"]


def test_an_interaction_of_no_kind_is_refused_by_its_word(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"interactions.csv": "user_id,other_id,kind,at\na,b,NULL,1\n"}
    assert refusal(tmp_path, files).startswith("interactions.csv, line 2, column 'kind': 'NULL' is not a kind of event")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_columns_that_are_called_like_patterns(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"user_id": "a", "*": "x", "^c.*$": "y"},
        {"user_id": "b", "*": "z", "^c.*$": "NULL"},
        {"user_id": "b", "*": "z"},
    ]
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "*": pl.String, "^c.*$": pl.String})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](
        tmp_path / f"users.{suffix}"
    )
    (tmp_path / "schema.toml").write_text('[reasons]\ncolumns = ["*", "^c.*$"]\n')
    assert people(tmp_path, {}) == [{"user_id": "a", "*": "x", "^c.*$": "y"}, {"user_id": "b", "*": "z", "^c.*$": None}]


def test_several_files_of_a_table(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "users/part-0.csv": "user_id,company\nann,Acme\n",
        "users/part-1.csv.gz": gzip.compress(b"company;user_id;age\nBolt;bob;31\n"),
        "users/_SUCCESS": "",
        "users/.part-0.csv.crc": b"\0",
        "users/README.md": "how it was made",
        "connections/a.jsonl": '{"user_id":"ann","other_id":"bob"}\n',
        "connections/b.jsonl": '\n{"user_id":"bob","other_id":"cid","created_at":"2026-01-01"}\n',
    }
    read = dataset(tmp_path, files)
    assert sorted(read.users.frame.rows()) == [("ann", None, "Acme"), ("bob", 31.0, "Bolt")]
    assert read.connections.rows() == [("ann", "bob", None), ("bob", "cid", 1767225600)]
    broken = files | {"users/part-1.csv.gz": gzip.compress(b"user_id,discoverable\nx,t\ny,perhaps\n")}
    message = "users/part-1.csv.gz, line 3, column 'discoverable': 'perhaps' is neither true nor false"
    assert refusal(tmp_path, broken).startswith(message)
    broken = files | {"users/part-1.csv.gz": gzip.compress(b"id\nx\n")}
    assert refusal(tmp_path, broken).startswith("users/part-1.csv.gz, line 1: the column 'user_id' is missing")


@pytest.mark.parametrize("name", ["users.jsonl.gz", "users.csv.gz", "users.jsonl.zst"])
def test_a_packed_file_without_a_byte_is_cut_short(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, {name: b""}).startswith(f"{name} is damaged or cut short: ")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_partitions_are_columns(tmp_path: Path, suffix: str) -> None:
    parts = {"country=gb/city=St%20Ives": ["ann"], "country=__HIVE_DEFAULT_PARTITION__/city=Oslo": ["bob"]}
    for folder, ids in parts.items():
        frame = pl.DataFrame({"user_id": ids})
        parquet(tmp_path, f"users/{folder}/part-0.parquet", frame)
        if suffix == "csv":
            (tmp_path / f"users/{folder}/part-0.parquet").unlink()
            frame.write_csv(tmp_path / f"users/{folder}/part-0.csv")
    assert people(tmp_path, {}) == [
        {"user_id": "ann", "city": "St Ives", "country": "gb"},
        {"user_id": "bob", "city": "Oslo", "country": None},
    ]


def test_a_partition_that_is_also_in_the_file(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"users/country=gb/a.csv": "user_id,country\nann,no\n"}
    message = (
        "users/country=gb/a.csv, column 'country': is in the file, and 'gb' in the name of a folder above it; keep one"
    )
    assert refusal(tmp_path, files) == message


def test_lists_in_one_file_and_plain_values_in_another(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "users/a.jsonl": '{"user_id":"ann","skills":["go"]}\n',
        "users/b.jsonl": '{"user_id":"bob","skills":null}\n',
    }
    assert [row["skills"] for row in people(tmp_path, files)] == [["go"], None]
    files["users/c.jsonl"] = '\n{"user_id":"cid","skills":"go"}\n'
    message = "users/c.jsonl, line 2, column 'skills': 'go' is one value where other files have lists"
    assert refusal(tmp_path, files) == message


def test_a_folder_of_two_formats_or_of_none(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"users/a.csv": USERS, "users/b.jsonl": JSONL}
    assert refusal(tmp_path, files) == "users holds a.csv and b.jsonl: keep one format"
    assert refusal(tmp_path, {"users.csv": USERS}) == "DATA holds users.csv and users/: keep one"
    for name in ("users.csv", "users/a.csv", "users/b.jsonl"):
        (tmp_path / name).unlink()
    assert refusal(tmp_path, {"users/notes.txt": ""}).startswith(
        "users holds no file of a table: their names end in .csv"
    )


@pytest.mark.parametrize("name", ["b.CSV", "b.csv.bz2", "deep/b.csv.GZ", "b.parquet.gz", "b.xlsx", "b.orc", "b.zip"])
def test_a_file_of_rows_in_a_folder_is_not_passed_over(tmp_path: Path, name: str) -> None:
    files: dict[str, str | bytes] = {"users/a.csv": USERS, f"users/{name}": "user_id,discoverable\ncid,f\n"}
    assert refusal(tmp_path, files).startswith(f"users/{name} is not read: names of files end in .csv, .tsv")


def test_partitions_whose_column_is_unclear(tmp_path: Path) -> None:
    message = "users/c=gb/d/c=no, column 'c': 'no' below a folder of 'gb'; keep one"
    assert refusal(tmp_path, {"users/c=gb/d/c=no/a.csv": USERS}) == message
    (tmp_path / "users/c=gb").rename(tmp_path / "users/=gb")
    assert refusal(tmp_path, {}) == "users/=gb: '=gb' names no column before the equals sign"


def test_a_directory_as_spark_writes_it(tmp_path: Path) -> None:
    parquet(tmp_path, "users.parquet/part-00000-c000.snappy.parquet", pl.DataFrame({"user_id": ["ann"]}))
    assert people(tmp_path, {"users.parquet/_SUCCESS": ""}) == [{"user_id": "ann"}]


def test_no_users_at_all(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        read = dataset(tmp_path, {})
    assert (read.users.frame.shape, read.connections.height) == ((0, 1), 1)
    assert "no_users" in [one["event"] for one in logged]
    message = "schema.toml, line 2: column 'age': there is no table of users beside schema.toml"
    assert refusal(tmp_path, {"schema.toml": '[users]\nage = "numeric"\n'}) == message


@pytest.mark.parametrize(
    "name",
    [
        "Users.csv",
        "user.csv",
        "users.CSV",
        "users.xlsx",
        "users.csv.bz2",
        "users.json",
        "interaction.csv",
        "User/a.csv",
    ],
)
def test_a_table_under_another_name_is_not_passed_over(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, {name: USERS}).startswith(f"{name.partition('/')[0]} is not read: if it holds the ")


def test_what_editors_and_copies_leave_behind_is_passed_over(tmp_path: Path) -> None:
    left: dict[str, str | bytes] = dict.fromkeys(("users.csv~", "#users.csv#", ".users.csv.swp", "users.csv.bak"), "\0")
    (tmp_path / ".#users.csv").symlink_to("somebody@host.1234:5678")
    (tmp_path / "#users.csv").symlink_to("nowhere")
    assert people(tmp_path, left | {"users.csv": USERS, ".pymk/store/dump": "x"}) == ANN_AND_BOB
    assert dataset(tmp_path, left).users.frame.height == 2


@pytest.mark.parametrize("name", ["users.csv", "users/part-1.csv", "schema.toml", "interactions.parquet"])
def test_a_table_that_is_a_link_to_nothing_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "users").mkdir()
    if not name.startswith("users."):
        (tmp_path / "users" / "part-0.csv").write_text(USERS)
    (tmp_path / name).symlink_to("elsewhere")
    assert refusal(tmp_path, {}) == f"{name} is a link to elsewhere, which does not exist"


def test_a_byte_order_mark_before_schema_toml(tmp_path: Path) -> None:
    read = dataset(tmp_path, {"users.csv": USERS, "schema.toml": b'\xef\xbb\xbf[users]\ncompany = "text"\n'})
    assert read.users.kinds["company"] is Kind.TEXT


def test_line_ends_that_were_translated_twice(tmp_path: Path) -> None:
    assert people(tmp_path, {"users.csv": USERS.replace("\n", "\r\r\n").replace("Acme", '"Acme"')}) == ANN_AND_BOB


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_utf_16_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    message = rf"{name}, line 1: b'\xff\xfeu\x00s\x00e\x00r\x00_\x00i\x00d\x00,\x00c\x00' is UTF-16: export it as UTF-8"
    assert refusal(tmp_path, {name: USERS.encode("utf-16")}) == message
