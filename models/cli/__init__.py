"""The `pymk` command, with the subcommands of every entry point of the group `pymk.commands`."""

from models.cli.app import main

__all__ = ["main"]
