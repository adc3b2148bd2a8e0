"""The `pymk` command: it gathers what the entry points of the group `pymk.commands` register."""

from models.cli.app import main

__all__ = ["main"]
