"""Exploration: lists that are drawn rather than sorted, and the probability of each person's place."""
