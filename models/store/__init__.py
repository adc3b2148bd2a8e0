"""How the packed records are kept: an embedded or external Redis behind a small protocol."""
