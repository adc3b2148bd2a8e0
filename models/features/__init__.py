"""Features of users and profiles: profile, spectral, statistics, text. Imports kernels and below."""
