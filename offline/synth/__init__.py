"""Synthetic networks."""
