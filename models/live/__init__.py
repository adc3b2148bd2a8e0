"""What people did since the versions that are published: records, log, archive. NumPy and the standard library alone."""
