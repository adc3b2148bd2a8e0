"""Made-up networks."""
