"""How the tests run Spark: for small jobs, which take longer to compile than to run."""

QUICK = (
    "--driver-memory 1g --conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN"
    " --conf spark.sql.shuffle.partitions=2 --driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
)
"""value of PYSPARK_SUBMIT_ARGS"""
