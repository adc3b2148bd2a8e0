"""A night over what changed: the active version's weights, vectors and index, and candidates for those it concerns."""
