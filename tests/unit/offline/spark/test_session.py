"""What is said where Spark cannot run, and what a local session opens."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from models.errors import PymkError, UsageError
from offline.spark import session as spark
from offline.spark.config import SparkConfig
from offline.spark.engine import SparkEngine


def java_of(version: str, directory: Path) -> Path:
    """A JAVA_HOME whose java says that it is of this version."""
    java = directory / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return directory


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "find_spec", {"pandas": object(), "pyarrow": object()}.get)
    with pytest.raises(UsageError, match=r"needs pyspark: pip install 'pymk\[spark\]'"):
        SparkEngine(SparkConfig())


def test_java_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="none on PATH: apt install openjdk-17-jre-headless"):
        spark.check_spark()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"JAVA_HOME .* has none: apt install openjdk-17-jre-headless"):
        spark.check_spark()


@pytest.mark.parametrize(("version", "is_enough"), [("11.0.2", False), ("1.8.0_292", False), ("17.0.1", True)])
def test_java_that_is_too_old_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, is_enough: bool
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_of(version, tmp_path)))
    if is_enough:
        spark.check_spark()
        return
    with pytest.raises(UsageError, match=r"needs Java 17 or later, and .* is "):
        spark.check_spark()


@pytest.mark.parametrize("master", [None, "local", "local[4]", "local[*]"])
def test_masters_of_this_machine(master: str | None) -> None:
    assert spark.is_local(master)


@pytest.mark.parametrize("master", ["yarn", "spark://there:7077", "k8s://https://there"])
def test_masters_elsewhere(master: str) -> None:
    assert not spark.is_local(master)


def test_a_failed_job_is_told_in_one_line(session: SparkSession) -> None:
    def fails(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise ValueError("the disk is gone")

    told = r"the Spark job of lists failed: .*ValueError: the disk is gone"
    with pytest.raises(PymkError, match=told) as caught, spark.one_line("lists"):
        session.range(2).mapInArrow(fails, "id long").collect()
    assert "\n" not in str(caught.value)


def test_a_local_session_listens_on_the_loopback_address_alone(session: SparkSession) -> None:
    settings = dict(session.sparkContext.getConf().getAll())
    assert settings["spark.driver.bindAddress"] == settings["spark.driver.host"] == "127.0.0.1"
    assert settings["spark.ui.enabled"] == "false"
    assert session.sparkContext.uiWebUrl is None
