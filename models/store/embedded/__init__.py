"""The embedded store: its server process, its supervisor and the client that starts them."""
