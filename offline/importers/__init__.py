"""Importers: files and databases of other systems become a dataset directory."""
