"""Compiled loops over the graph."""
