"""The compiled loops of the ranking. Imports `models.kernels` and `models.schema` alone."""
