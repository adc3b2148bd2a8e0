"""Compiled loops: over the graph, and over the candidates of one viewer."""
