"""`python -m models.commands`: the pymk command of this very interpreter."""

from models.commands.app import main

main()
