"""What people did since the versions that are published: records, log, archive. Needs no library but NumPy."""
