"""Exposures: who was shown in which list, and what came of it; packed records, and the schemas of the Parquet files."""
