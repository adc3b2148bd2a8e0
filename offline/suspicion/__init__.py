"""Detection of accounts that do not fit their friends."""
