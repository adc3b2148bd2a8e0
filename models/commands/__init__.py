"""The pymk command."""
