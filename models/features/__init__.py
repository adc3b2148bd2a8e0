"""Features of users and profiles: profile affinity, spectral coordinates, statistics, text."""
