"""How the CSV files of a dataset are written, as far as it is said."""

from dataclasses import dataclass

QUOTE = '"'


@dataclass(frozen=True)
class CsvSettings:
    """The section [csv] of schema.toml; every character is one of ASCII."""

    delimiter: str | None = None
    """between two cells; None: found in the header of each file"""
    quote: str | None = QUOTE
    """around a cell, and doubled inside it; None: there are no quotation marks"""
    escape: str | None = None
    """before a character that means itself; None: a quotation mark is doubled"""


@dataclass(frozen=True)
class Dialect:
    """How one CSV file is written."""

    delimiter: str
    quote: str | None = QUOTE
    escape: str | None = None
