"""Contacts: address books as keyed hashes, and who is in whose."""
