"""What a dataset directory holds: what each column is taken for, and what looks odd."""
