"""What came of the lists that were given out: exposures joined with events, rates, parity of features."""
