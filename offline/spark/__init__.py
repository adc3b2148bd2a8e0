"""The Spark engine: steps of a night as DataFrame jobs, for networks beyond one machine."""
