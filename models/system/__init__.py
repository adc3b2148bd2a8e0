"""Files, clock, logs and processes."""
