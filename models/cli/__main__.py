"""`python -m models.cli`: the pymk command of this interpreter."""

from models.cli.app import main

main()
