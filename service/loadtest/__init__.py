"""`pymk loadtest`: an open-loop load test of a running service. Imports the web room alone."""
