"""`python -m models.cli`: the pymk command of this very interpreter."""

from models.cli.app import main

main()
