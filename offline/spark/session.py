"""The Spark session of a night, with clear words for what is missing on the machine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import PymkError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LEAST_JAVA = 17
LOCAL = "local[*]"
"""master unless another is given: all cores of this machine"""
PARTITIONS = "spark.sql.shuffle.partitions"
"""Spark's own default, 200, is meant for a cluster"""
_TASKS_PER_CORE = 4


def check_spark() -> None:
    """Raises UsageError, saying what to install, if pyspark or a Java of version LEAST_JAVA is missing."""
    missing = [name for name in ("pyspark", "pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        raise UsageError(f"--engine spark needs {' and '.join(missing)}: pip install 'pymk[spark]'")
    if _under_submit():
        return
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home, "bin", "java"))) if home else shutil.which("java")
    install = f"apt install openjdk-{LEAST_JAVA}-jre-headless"
    if java is None:
        where = f"JAVA_HOME ({home}) has none" if home else "there is none on PATH"
        raise UsageError(f"--engine spark needs Java {LEAST_JAVA} or later, and {where}: {install}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr  # noqa: S603
    version = re.search(r'version "(\d+)', told)
    if version is not None and int(version[1]) < LEAST_JAVA:
        raise UsageError(f"--engine spark needs Java {LEAST_JAVA} or later, and {java} is {version[1]}: {install}")


def is_local(master: str | None) -> bool:
    """Whether all of Spark runs on this machine, in one process."""
    return (master or LOCAL).startswith("local") and not (_under_submit() and not master)


@contextmanager
def one_line(job: str) -> Iterator[None]:
    """Turns what Spark raises, pages of stacks of two languages, into a PymkError of one line."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raised = re.findall(r"^(?:Caused by: )?([\w.]*(?:Error|Exception)\b.*)$", str(error), re.MULTILINE)
        first = str(error).strip().splitlines()[0]
        cause = next((line for line in raised if line.split(":")[0] not in first), "")
        raise PymkError(f"the Spark job of {job} failed: {first}{'; ' if cause else ''}{cause}") from error


@contextmanager
def spark_session(master: str | None = None) -> "Iterator[SparkSession]":
    """A session that ends with the block.

    Without a master, the one of spark-submit, or else LOCAL. Whatever else Spark can be told comes from its own
    conventions: spark-submit's flags, spark-defaults.conf in SPARK_CONF_DIR. A local session listens on the loopback
    address alone and has no web page. Raises UsageError if something is missing or the master cannot be reached.
    """
    check_spark()
    # workers run this interpreter, unless the cluster's is named
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("pymk nightly").config("spark.sql.session.timeZone", "UTC")
    if master is not None or not _under_submit():
        builder = builder.master(master or LOCAL)
    if is_local(master):
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.showConsoleProgress": "false",
        }.items():
            builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise UsageError(f"Spark does not start at {master or LOCAL}: {str(error).splitlines()[0]}") from error
    session.sparkContext.setLogLevel("ERROR")
    if is_local(master) and PARTITIONS not in dict(session.sparkContext.getConf().getAll()):
        session.conf.set(PARTITIONS, str(_cores(master or LOCAL) * _TASKS_PER_CORE))
    try:
        yield session
    finally:
        session.stop()


def _under_submit() -> bool:
    """Whether spark-submit started this process."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _cores(master: str) -> int:
    """The cores that a local master uses."""
    named = re.match(r"local\[(\d+)", master)
    if named is not None:
        return int(named[1])
    return 1 if master == "local" else os.cpu_count() or 1
