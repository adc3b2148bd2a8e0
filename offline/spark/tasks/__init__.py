"""What a Python worker of Spark does for the viewers of one task."""
