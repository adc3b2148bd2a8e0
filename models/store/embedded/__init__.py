"""The embedded store: the server process, its supervisor, and the client that starts them."""
