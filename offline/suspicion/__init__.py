"""Accounts that do not fit their friends."""
