"""The uvicorn server and the process it runs in. Imports the metrics."""
