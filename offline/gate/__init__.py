"""The gate: the checks that decide whether a version is published. Imports the snapshot, evaluation and below."""
