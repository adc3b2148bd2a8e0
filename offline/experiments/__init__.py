"""Statistics of experiments and of logged lists: what another policy would have earned, and what an arm changed."""
