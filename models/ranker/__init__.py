"""Scoring of candidates, and attribution of a score to its inputs."""
