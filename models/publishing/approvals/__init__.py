"""Versions that wait for an approval, what is decided of them, and who is told."""
