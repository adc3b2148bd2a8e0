"""A month of simulated people who use the real service, day by day, with nights between."""
