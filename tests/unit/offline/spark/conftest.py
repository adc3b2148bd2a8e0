"""A Spark session on two cores, one for the tests of a module."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from models.errors import UsageError
from offline.spark.session import check_spark, spark_session
from tests.support.offline.spark_options import QUICK


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """local[2]; skips where Spark cannot run."""
    try:
        check_spark()
    except UsageError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", QUICK)
        with spark_session("local[2]") as started:
            yield started
