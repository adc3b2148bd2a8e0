"""Pure arrays: score, filter, re-rank, reasons, JSON. No HTTP and no store; imports `models` alone."""
