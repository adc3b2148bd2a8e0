"""A dataset merged with the live events since, frozen on disk."""
