"""PyTorch modules that join the scores of several models."""
