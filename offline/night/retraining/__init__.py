"""What a retraining begins with, learns from, and changed."""
