"""Training an encoder and embedding all users with it. Imports features and below."""
