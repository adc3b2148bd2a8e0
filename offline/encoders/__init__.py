"""Training an encoder and embedding everybody with it. Imports features and below."""
