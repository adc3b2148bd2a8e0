"""The reader of dataset directories."""
