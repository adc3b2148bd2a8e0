"""Model families: encoders, identities and fusions that are trained alike and compared row by row."""
