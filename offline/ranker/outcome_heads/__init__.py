"""Heads learned from outcomes: the table, the examination of places, the fits, and what is chosen among them."""
