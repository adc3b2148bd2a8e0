"""The steps of a run: measured, recorded where they can be watched, and tried again."""
