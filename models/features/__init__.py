"""What a model sees of a person and of a pair; the same code by night and by day."""
