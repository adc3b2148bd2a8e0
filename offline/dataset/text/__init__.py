"""Readers of text files: CSV and JSON lines, plain or compressed."""
