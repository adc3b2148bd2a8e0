"""Drift of data, embeddings and scores: what a version keeps of its night, and how another differs."""
