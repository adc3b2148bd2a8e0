"""Middleware, keys, problem documents and exception handlers. Imports the metrics."""
