"""What a process keeps in memory: the version it serves, and what changed since. Imports the ranking and below."""
