"""The archive of the event log: lines of the latest days, Parquet of those before."""
