"""Finding people: graph walks, nearest neighbours, profiles, users outside the graph. Imports features and below."""
