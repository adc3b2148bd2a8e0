"""Columns, events, relationships, pair features and the vocabulary. Imports the system room alone."""
