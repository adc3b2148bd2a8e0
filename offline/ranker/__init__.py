"""Training the ranker and its calibration. Imports features and below."""
