"""Candidates as Spark jobs: what models.candidates.generator finds in a whole graph, task by task from parts of it.

A task has some viewers. It is sent the friends of the rows that their walks come to, level by level (`_fetched`), then
what pair features read of the people in their pools, and runs the kernels of the night on this part. Rounds and joins
pass Parquet files on; what comes to the driver are counts, and the most popular people.
"""

from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator, Nearest
from models.candidates.inputs import MOST_POPULAR, PER_USER, CandidateInputs
from models.version.candidate_block import Block
from models.version.towers import Towers
from offline.evaluation.baselines import RESOURCE_ALLOCATION_OF_LATE, Lists
from offline.spark.baselines import BY_MUTUAL_FRIENDS, read_best, scored_pairs, write_best
from offline.spark.config import SparkConfig
from offline.spark.graph_tables import GraphTables, read, write
from offline.spark.groups import groups_of_viewers
from offline.spark.handover import write_people, write_viewers
from offline.spark.salting import salted_join
from offline.spark.session import one_line
from offline.spark.tasks.functions import Task, missing_friends, packed_blocks, pooled_people
from offline.spark.tasks.part import Shared
from offline.steps.stages import stage

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame, SparkSession

FOUND = "task int, row int"
VIEWERS = "viewers.parquet"
DESCRIBED = ("late", "set_codes", "codes", "points", "embedding", "tower")
PIECE = 4096
"""records read at once"""


class SparkCandidates(CandidateGenerator):
    """A generator whose blocks come from Spark; pools, which training reads, are made here."""

    def __init__(
        self,
        inputs: CandidateInputs,
        nearest: Nearest,
        config: CandidateConfig,
        session: "Callable[[], SparkSession]",
        engine: SparkConfig,
        directory: Path,
    ) -> None:
        """`session` is called when it is first needed. `directory` takes the files of the jobs; every worker must see
        it at the same path.
        """
        super().__init__(inputs, nearest, config)
        self._session, self._engine, self._directory, self._handovers = session, engine, directory.resolve(), 0
        self._tables: GraphTables | None = None
        self._people: DataFrame | None = None

    def blocks(self, users: NDArray[np.int64]) -> Iterator[Block]:
        """As CandidateGenerator.blocks, for rows in ascending order."""
        if not len(users):
            return
        tables, inputs, viewers_at = (self._graph(), self._described()), self.candidate_inputs, self._handed_over(users)
        job = _Job(self._session(), *tables, inputs, self._config, self._engine, viewers_at, len(users))
        with one_line("candidates"), stage("spark_candidates", viewers=len(users)):
            made = job.run()
        for path in sorted(made.glob("*.parquet")):
            for records in pq.ParquetFile(path).iter_batches(PIECE, columns=["record"]):
                yield from (Block.unpack(record.as_py()) for record in records.column(0))

    def baseline_lists(self, users: NDArray[np.int64], limit: int) -> dict[str, Lists]:
        """The lists (U, limit) int32 of the baselines by mutual friends, for `users` (U,) in ascending order."""
        dated = len(self.candidate_inputs.late) > 0
        methods = (*BY_MUTUAL_FRIENDS, RESOURCE_ALLOCATION_OF_LATE) if dated else BY_MUTUAL_FRIENDS
        graph, people, viewers_at = self._graph(), self._described(), self._handed_over(users)
        with one_line("baselines"), stage("spark_baselines", viewers=len(users)):
            viewers = read(self._session(), viewers_at / VIEWERS)
            scored = scored_pairs(viewers, graph.adjacency, people, self._engine, dated=dated)
            write_best(scored, methods, limit, viewers_at / "best")
        return read_best(viewers_at / "best", users, methods, limit)

    def _graph(self) -> GraphTables:
        """The tables of the graph, made when they are first needed."""
        if self._tables is None:
            inputs, engine = self.candidate_inputs, self._engine
            self._tables = GraphTables.of(self._session(), inputs.graph, inputs.suggestible, engine, self._directory)
        return self._tables

    def _described(self) -> "DataFrame":
        """What is known of everybody, handed over when it is first needed."""
        if self._people is None:
            path = self._directory / "people.parquet"
            self._directory.mkdir(parents=True, exist_ok=True)
            write_people(self.candidate_inputs, path)
            self._people = read(self._session(), path)
        return self._people

    def _handed_over(self, users: NDArray[np.int64]) -> Path:
        """A new directory with what the jobs read of these viewers."""
        viewers_at, self._handovers = self._directory / f"viewers-{self._handovers}", self._handovers + 1
        viewers_at.mkdir(parents=True)
        inputs, most = self.candidate_inputs, self._engine.hub_friends
        write_viewers(inputs, users, self._nearest, self._config.nearest, most, viewers_at / VIEWERS)
        return viewers_at


class _Job:
    """The candidates of some viewers of a graph."""

    def __init__(
        self,
        session: "SparkSession",
        graph: GraphTables,
        people: "DataFrame",
        inputs: CandidateInputs,
        config: CandidateConfig,
        engine: SparkConfig,
        directory: Path,
        viewers: int,
    ) -> None:
        self._tasks = ceil(viewers / engine.viewers_per_task)
        self._session, self._graph, self._people, self._engine = session, graph, people, engine
        self._directory, self._inputs, self._config = directory, inputs, config

    def run(self) -> Path:
        """A directory of Parquet files: `viewer`, `record`, in the order of the viewers when files are read by name."""
        shared = self._session.sparkContext.broadcast(self._shared())
        write(self._viewers(), self._directory / "tasks")
        tasks = read(self._session, self._directory / "tasks")
        lists = self._fetched(tasks, shared)
        # what is known of the people in the pools
        wanted = self._directory / "pooled"
        write(self._by_task(tasks, lists, pooled_people(shared), FOUND), wanted)
        people = self._people.select("row", *DESCRIBED)
        described = salted_join(read(self._session, wanted), people, "row", "task", self._engine)
        found = lists.unionByName(described, allowMissingColumns=True)
        # the blocks, and then their order, for which Spark looks at them twice
        blocks = self._by_task(tasks, found, packed_blocks(shared), "viewer int, record binary")
        write(blocks, self._directory / "blocks")
        ordered = read(self._session, self._directory / "blocks").repartitionByRange("viewer")
        write(ordered.sortWithinPartitions("viewer"), self._directory / "ordered")
        shared.destroy()
        return self._directory / "ordered"

    def _viewers(self) -> "DataFrame":
        """`task`, `viewer`, `known`, `nearest` and `groups` of every viewer."""
        from pyspark.sql import functions as sf

        viewers = read(self._session, self._directory / VIEWERS)
        valued = self._people.select("row", "shown", "values")
        groups = groups_of_viewers(viewers, valued, self._graph.friends, self._config, self._engine)
        task = sf.floor(sf.col("at") / self._engine.viewers_per_task).cast("int").alias("task")
        columns = (task, "viewer", "known", "groups", sf.filter("nearest", lambda row: row >= 0).alias("nearest"))
        return viewers.join(groups, "viewer", "left").select(*columns)

    def _fetched(self, tasks: "DataFrame", shared: "Broadcast[Shared]") -> "DataFrame":
        """`task`, `row`, `friends`, `marks`: the friends of all rows that the walks of each task come to.

        Each round fetches what the walks lack with what came before, from the viewers outward; it ends, since limits
        bound what a viewer's walks cross.
        """
        from pyspark.sql import functions as sf

        wanted, fetched, at = tasks.select("task", sf.col("viewer").alias("row")), list[str](), 0
        while True:
            found = self._directory / f"friends-{at}"
            write(salted_join(wanted, self._graph.adjacency, "row", "task", self._engine), found)
            fetched.append(found.as_uri())
            lists = self._session.read.parquet(*fetched)
            missing = self._directory / f"missing-{at}"
            write(self._by_task(tasks, lists, missing_friends(shared), FOUND), missing)
            wanted, at = read(self._session, missing), at + 1
            if wanted.isEmpty():
                return lists

    def _shared(self) -> Shared:
        """What every task is sent."""
        from pyspark.sql import functions as sf

        inputs, people = self._inputs, self._people
        # the number of friends that the jobs know, of hubs about engine.hub_friends
        degrees = self._graph.adjacency.select("row", sf.size("friends").alias("degree"))
        shown = people.where("shown").join(self._graph.friends, "row").join(degrees, "row")
        popular = shown.orderBy(sf.desc("friends"), "row").select("row", "degree").limit(MOST_POPULAR).collect()
        of_late = people.where(sf.col("shown") & (sf.col("late") > 0)).orderBy(sf.desc("late"), "row").select("row")
        rows = np.array([row for row, _ in popular], np.int32)
        tables = inputs.profile_affinity
        nobody = {name: getattr(tables, name)[: 1 if more else 0] for name, more in PER_USER.items()}
        codes = np.zeros((0, inputs.towers.dimensions), np.int8)
        return Shared(
            limits=self._config.limits(inputs.graph.n)._replace(rare_group=np.iinfo(np.int64).max),
            kept=self._config.kept,
            popular=rows,
            popular_friends=np.array([degree for _, degree in popular], np.int32),
            popular_towers=inputs.towers.codes[rows],
            popular_of_late=np.array(
                [one.row for one in of_late.limit(self._config.popular_of_late).collect()], np.int32
            ),
            towers=Towers(codes, inputs.towers.scales, inputs.towers.own, inputs.towers.fold),
            tables=tables._replace(**nobody, set_codes=tables.set_codes[:0]),
            prerank_weights=inputs.prerank_weights,
            dated=len(inputs.late) > 0,
            dimensions=inputs.embeddings.shape[1],
        )

    def _by_task(self, tasks: "DataFrame", found: "DataFrame", task: Task, schema: str) -> "DataFrame":
        """What a function of offline.spark.tasks.functions returns for every task, each in a partition of its own."""
        apart = (frame.repartition(self._tasks, "task").groupBy("task") for frame in (tasks, found))
        return next(apart).cogroup(next(apart)).applyInArrow(task, schema)
