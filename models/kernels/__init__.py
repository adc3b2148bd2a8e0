"""Compiled loops that the night and the worker share. Imports the schema alone."""
