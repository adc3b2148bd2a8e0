"""The graph as of a moment: edge splits, temporal graph, graph features. Imports the snapshot."""
