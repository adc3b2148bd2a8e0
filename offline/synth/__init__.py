"""Synthetic social networks: people, communities, friendships over two years, and the last days held out."""
