"""Comparison of model families on one dataset, row by row."""
