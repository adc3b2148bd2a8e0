"""Columns, events, relationships, pair features and the vocabulary."""
