"""PyTorch modules and their checkpoints. Checkpoints name these files, so they keep their names."""
