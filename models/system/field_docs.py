"""The docstrings under the fields of a class, which Python itself does not keep."""

import ast
import inspect
from functools import cache
from itertools import pairwise
from pathlib import Path

_LIBRARIES = frozenset({"pydantic", "pydantic_settings"})
"""whose classes document what is no field"""


@cache
def field_docs(kind: type) -> dict[str, str]:
    """By field of a class, the docstring under it in one line; a field without one has that of its base.

    Empty for classes whose source is not there.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] in _LIBRARIES:
            continue
        try:
            source = Path(inspect.getfile(base)).read_text(encoding="utf-8")
        except (TypeError, OSError):  # a class of C, or one without its source
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and node.name == base.__name__:
                found |= _under_fields(node)
    return found


def _under_fields(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, text in pairwise(node.body):
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
            if isinstance(target, ast.Name):
                found[target.id] = " ".join(str(text.value.value).split())
    return found
