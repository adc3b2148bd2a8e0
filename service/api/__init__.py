"""HTTP resources: one file a resource, with its schemas and parameters. Imports the container and below."""
