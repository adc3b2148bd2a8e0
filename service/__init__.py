"""The HTTP service and its worker."""
