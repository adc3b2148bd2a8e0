"""Metrics, classic baselines, report and gate."""
