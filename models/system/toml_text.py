"""TOML files as people save them."""

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any


def read_toml_file(path: Path | Traversable) -> dict[str, Any]:
    """The content of a TOML file in UTF-8, with or without the byte order mark that Windows programs write.

    Raises OSError, UnicodeDecodeError or tomllib.TOMLDecodeError.
    """
    return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
