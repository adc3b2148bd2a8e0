"""What heads learned from outcomes are worth: their predictions, and the order that they put people in."""
