"""Model families side by side, row by row. The night imports none of it."""
