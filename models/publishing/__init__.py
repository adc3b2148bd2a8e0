"""The pointer; publish, activate, roll back; transfer to and from the store. Imports candidate refresh and below."""
