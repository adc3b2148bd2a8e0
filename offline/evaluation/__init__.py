"""Metrics, baselines, the report and the quality gate."""
