"""`pymk loadtest`: open-loop load against a running service, and what the service made of it."""
