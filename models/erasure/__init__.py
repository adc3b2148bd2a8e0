"""Removing every trace of an erased person. Imports publishing and below."""
