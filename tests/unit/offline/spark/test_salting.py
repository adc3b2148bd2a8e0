"""Joins of keys that many rows ask for."""

from pyspark.sql import SparkSession

from offline.spark.config import SparkConfig
from offline.spark.salting import salted_join

FEW = SparkConfig(salts=4, salted_above=5)


def test_a_key_of_many_requests_is_joined_like_any_other(session: SparkSession) -> None:
    wanted_by = [(task, 7) for task in range(20)] + [(0, 1), (3, 2), (4, 2), (5, 9)]
    requests = session.createDataFrame(wanted_by, "task int, row int")
    table = session.createDataFrame([(1, "one"), (2, "two"), (7, "seven"), (8, "eight")], "row int, name string")
    joined = salted_join(requests, table, "row", "task", FEW)
    names = {1: "one", 2: "two", 7: "seven"}
    wanted = sorted((task, row, names[row]) for task, row in wanted_by if row in names)
    assert sorted((one.task, one.row, one.name) for one in joined.select("task", "row", "name").collect()) == wanted


def test_copies_of_a_row_share_its_requests(session: SparkSession) -> None:
    requests = session.createDataFrame([(task, 7) for task in range(200)], "task int, row int")
    table = session.createDataFrame([(7, "seven")], "row int, name string")
    joined = salted_join(requests, table, "row", "task", FEW)
    assert joined.count() == 200
    plan = joined._jdf.queryExecution().toString()
    assert "salt" in plan
    assert "pmod(hash(task" in plan
