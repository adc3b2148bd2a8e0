"""The training of a night as a command of its own, in one process or in the several that torchrun starts."""
