"""What changed since the night, per person. Imports the store and below."""
