"""Training of fusions, which combine the scores of several models."""
