"""Experiments: their files, their record in the store, and who is in which arm."""
