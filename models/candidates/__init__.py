"""Candidate generation: graph walks, nearest neighbours, profiles, users outside the graph."""
