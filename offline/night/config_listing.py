"""The settings of a night with their defaults, limits and meanings, as a TOML file and as rows."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models.system.field_docs import field_docs
from models.system.toml_file import models_in
from offline.night.config import NightConfig

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_COLUMNS = 100
"""of a line of comment"""
_EXAMPLES = {"text_model": "all-MiniLM-L6-v2", "encoder.encoder": {"name": "gat"}, "encoder.training.evaluations": 20}
"""values of settings that have no default"""


class Setting(NamedTuple):
    """One setting of a night."""

    table: str
    """its table; empty for a setting outside the tables"""
    name: str
    default: Any
    """None: unset"""
    value: Any
    """None: unset"""
    limits: str
    """the values that it may have, in words; empty if any of its type"""
    meaning: str
    is_on: bool
    """whether its table is in effect"""

    @property
    def path(self) -> str:
        """Table and name."""
        return f"{self.table}.{self.name}" if self.table else self.name


def settings(config: NightConfig | None = None) -> Iterator[Setting]:
    """The settings of a configuration, or of the defaults, table by table, those outside the tables first."""
    yield from _settings(NightConfig, config or NightConfig(), "", is_on=True)


def _settings(model: type[BaseModel], values: BaseModel | None, table: str, *, is_on: bool) -> Iterator[Setting]:
    """The settings of a model, then those of its tables. A union of models is one setting, called by its names."""
    tables, meanings = list[tuple[str, type[BaseModel]]](), field_docs(model)
    for name, field in model.model_fields.items():
        models = models_in(field.annotation)
        if len(models) == 1:
            tables.append((name, models[0]))
            continue
        default = field.get_default(call_default_factory=True)
        default = None if default is PydanticUndefined else default
        value = default if values is None else getattr(values, name)
        yield Setting(table, name, default, value, _limits(field, models), _meaning(meanings, name), is_on)
    for name, one in tables:
        found = None if values is None else getattr(values, name)
        yield from _settings(one, found, f"{table}.{name}".lstrip("."), is_on=is_on and found is not None)


def table_meanings() -> dict[str, str]:
    """By table, what it configures."""
    return dict(_table_meanings(NightConfig, ""))


def _table_meanings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        models = models_in(field.annotation)
        if len(models) == 1:
            yield f"{prefix}{name}", _meaning(field_docs(model), name)
            yield from _table_meanings(models[0], f"{prefix}{name}.")


def as_toml(config: NightConfig | None = None) -> str:
    """A TOML file of all settings of a configuration, or of the defaults; a value that is no default says so.

    A line that begins with # and no space is a setting that is unset or of a table that is off.
    """
    lines = [
        "# Every setting of a night: pymk nightly DATA --config FILE.toml",
        "# Keep the lines that you change. A line that begins with # and no space is a setting that is unset, or whose",
        "# table is off: take the # away to set it, and that of its table.",
    ]
    meanings, table = table_meanings(), ""
    for one in settings(config):
        if one.table != table:
            table = one.table
            lines += ["", *_comment(meanings[table]), f"{'' if one.is_on else '#'}[{table}]"]
        lines += ["", *_comment(f"{one.meaning} ({one.limits})" if one.limits else one.meaning)]
        value = one.value if one.value is not None else _EXAMPLES.get(one.path)
        changed = f"  # default: {toml_value(one.default)}" if one.is_on and one.value != one.default else ""
        lines.append(f"{'' if one.is_on and one.value is not None else '#'}{one.name} = {toml_value(value)}{changed}")
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A value in TOML; `unset` for None, which TOML does not have."""
    match value:
        case None:
            return "unset"
        case BaseModel():
            return toml_value(value.model_dump(mode="json", exclude_unset=True))
        case dict():
            return "{ " + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml_value(one) for one in value) + "]"
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int() if abs(value) >= 10_000:
            return f"{value:_}"
    return str(value)


def _meaning(documented: dict[str, str], name: str) -> str:
    return documented.get(name, "").replace("None:", "unset:")


def _limits(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    """The values that a setting may have, in words."""
    if models:
        return "name: one of " + ", ".join(str(one.model_fields["name"].default) for one in models)
    bounds = [
        f"{word} {getattr(one, key):g}" for one in field.metadata for key, word in _BOUNDS.items() if hasattr(one, key)
    ]
    choices = ", ".join(toml_value(one) for one in _choices(field.annotation))
    if choices:
        return f"one of {choices}" if get_origin(field.annotation) is Literal else f"a number or {choices}"
    return " and ".join(bounds)


def _choices(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [one for part in get_args(annotation) for one in _choices(part)]


def _comment(text: str) -> list[str]:
    """Lines of comment."""
    return textwrap.wrap(text, _COLUMNS, initial_indent="# ", subsequent_indent="# ")
