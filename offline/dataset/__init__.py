"""Reading a dataset directory: users, connections, interactions and schema.toml, checked before anything is written."""
