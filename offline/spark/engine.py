"""The Spark engine of a night: a session that starts when the first job needs it and ends with the night."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates.config import CandidateConfig
from models.candidates.generator import Nearest
from models.candidates.inputs import CandidateInputs
from models.graph import Graph
from models.system.files import remove_tree
from offline.snapshot.coded_tables import CodedTables, CodeTables
from offline.snapshot.merge_live_events import Merged
from offline.spark.config import SparkConfig
from offline.spark.session import check_spark, one_line, spark_session
from offline.steps.stages import stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from offline.spark.candidates import SparkCandidates

FILES = "spark"
"""directory of the jobs' files, beside the candidates"""


class SparkEngine:
    """Runs jobs of a night on Spark; a context manager."""

    def __init__(self, config: SparkConfig, master: str | None = None) -> None:
        """Raises UsageError if pyspark or Java is missing; nothing starts yet."""
        check_spark()
        self._config, self._master = config, master
        self._open = ExitStack()
        self._session: SparkSession | None = None

    def __enter__(self) -> "SparkEngine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def session(self) -> "SparkSession":
        """The session, started if it is not. Raises UsageError if Spark does not start."""
        if self._session is None:
            self._session = self._open.enter_context(spark_session(self._master))
            context = self._session.sparkContext
            structlog.get_logger().info("spark_started", master=context.master, version=context.version)
        return self._session

    def code_tables(self, directory: Path) -> CodeTables:
        """What codes the tables of a snapshot; `directory` takes the files of the jobs, and is removed after them."""

        def code(merged: Merged, as_of: int, forbidden_days: int) -> CodedTables:
            from offline.spark.snapshot.coded_tables import coded_tables

            remove_tree(directory)
            try:
                with one_line("the snapshot"), stage("spark_snapshot", connections=merged.connections.height):
                    place = directory.resolve()
                    return coded_tables(self.session(), self._config, place, merged, as_of, forbidden_days)
            finally:
                remove_tree(directory)

        return code

    def neighbourhoods(self, graph: Graph, shown: NDArray[np.bool_], directory: Path) -> NDArray[np.float32]:
        """(n, 2) float32: clustering and mean log degree of friends, as models.features.user_statistics has them.

        `shown` (n,) says who may be shown: the tables of the graph in a folder of `directory` serve its candidates too.
        """
        from offline.spark.graph_tables import GraphTables, write
        from offline.spark.statistics import neighbourhoods, read_neighbourhoods

        files = (directory / FILES).resolve()
        tables = GraphTables.of(self.session(), graph, shown, self._config, files)
        with one_line("statistics"), stage("spark_statistics", people=graph.n):
            write(neighbourhoods(tables.adjacency, self._config), files / "neighbourhoods")
        return read_neighbourhoods(files / "neighbourhoods", graph.n)

    def generator(
        self, inputs: CandidateInputs, nearest: Nearest, config: CandidateConfig, directory: Path
    ) -> "SparkCandidates":
        """A generator whose blocks come from Spark, with its files in a folder of `directory`."""
        from offline.spark.candidates import SparkCandidates

        return SparkCandidates(inputs, nearest, config, self.session, self._config, directory / FILES)
