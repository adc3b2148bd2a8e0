"""Compiled loops shared by the night and the worker."""
