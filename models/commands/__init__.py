"""The pymk command: gathers what the entry points of the group `pymk.commands` register."""

from models.commands.app import main

__all__ = ["main"]
