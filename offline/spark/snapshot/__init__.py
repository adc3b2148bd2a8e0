"""The tables of a snapshot as Spark jobs."""
