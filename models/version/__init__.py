"""The files of one night: manifest, tables, blocks. Imports the schema and below."""
