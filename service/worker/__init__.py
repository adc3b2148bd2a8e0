"""The background process: event log, candidates, exposure and erasures. Imports `models` alone."""
