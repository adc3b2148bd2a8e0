"""TOML files that people write, read as Pydantic models: each fault is said with file, line, key and value."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from models.errors import UsageError
from models.system.known_names import unknown_name

Model = TypeVar("Model", bound=BaseModel)

_PLACE = re.compile(r"(?P<fault>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)")
_SHOWN_CHARACTERS = 80
"""longest part of a value that a message repeats"""


def read_model(path: Path, model: type[Model]) -> Model:
    """The model that a TOML file holds. Raises UsageError that names every fault with its file, line, key and value."""
    file = TomlFile.read(path)
    try:
        return model.model_validate(file.tables)
    except ValidationError as error:
        raise UsageError("; ".join(_faults(file, model, error.errors(include_url=False)))) from error


@dataclass(frozen=True)
class TomlFile:
    """A file and what it holds."""

    path: Path
    text: str
    tables: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file; it may begin with a byte order mark. Raises UsageError with line and column."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
            return cls(path, text, tomllib.loads(text))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise UsageError(f"{path}, line {line}: is not UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            place, end = _PLACE.fullmatch(str(error)), len(text.splitlines())
            where = f"line {place['line']}, column {place['column']}" if place else f"line {end}"
            raise UsageError(f"{path}, {where}: is no TOML: {place['fault'] if place else error}") from error

    def line_of(self, keys: Sequence[str | int]) -> int | None:
        """The line, from 1, on which the setting under these keys begins; None if the file has none.

        The first lines up to the setting are a TOML file without it, and with it they are one that has it.
        """
        lines, begins = self.text.splitlines(), 1
        for number, line in enumerate(lines, 1):
            if line.strip() in ("", "\ufeff") or line.lstrip().startswith("#"):
                begins = number + 1 if begins == number else begins
                continue
            try:
                tables = tomllib.loads("\n".join(lines[:number]))
            except tomllib.TOMLDecodeError:  # within a value of several lines
                continue
            if _has(tables, keys):
                return begins
            begins = number + 1
        return None

    def where(self, keys: Sequence[str | int]) -> str:
        """The file, and the line of the setting under these keys if it has one."""
        line = self.line_of(keys)
        return f"{self.path}, line {line}" if line else str(self.path)


def _has(tables: Any, keys: Sequence[str | int]) -> bool:
    for key in keys:
        try:
            tables = tables[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _faults(file: "TomlFile", model: type[BaseModel], faults: list[ErrorDetails]) -> Iterator[str]:
    """What to say of each setting that is wrong, once for a value that fits no type of several."""
    faulty = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
    said = set[tuple[str | int, ...]]()
    for fault in faults:
        keys = tuple(_keys(file.tables, fault))
        follows = fault["type"] == "too_short" and fault["loc"] in faulty  # a list whose entries are wrong counts none
        if keys not in said and not follows:
            said.add(keys)
            yield _said(file, model, fault)


def _said(file: TomlFile, model: type[BaseModel], fault: ErrorDetails) -> str:
    """One fault for the user."""
    keys = _keys(file.tables, fault)
    name, value, context = ".".join(map(str, keys)), _shown(fault["input"]), fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return f"{file.where(keys)}: {name} {_unknown(model, keys, fault['loc'])}"
        case "missing":
            return f"{file.where(keys[:-1])}: {name} is missing"
        case "union_tag_invalid":
            known = re.findall(r"'(\w+)'", str(context["expected_tags"]))
            return f'{file.where(keys)}: {name}.name = "{context["tag"]}" {unknown_name(context["tag"], "name", known)}'
        case "union_tag_not_found":
            return f"{file.where(keys)}: {name} has no name; it says which, as in name = ..."
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{file.where(keys)}: {name} = {value} is no table: it holds settings of its own"
    plain = fault["msg"].removeprefix("Value error, ")
    said = f"{plain[:1].lower()}{plain[1:]}"
    if not keys:
        return f"{file.path}: {said}"
    own = "" if isinstance(fault["input"], dict) else f" = {value}"
    return f"{file.where(keys)}: {name}{own}: {said}"


def _keys(tables: Any, fault: ErrorDetails) -> list[str | int]:
    """Where the fault is in the file. Its location also names the members of unions, which the file does not."""
    keys = list[str | int]()
    for place, key in enumerate(fault["loc"], 1):
        try:
            tables = tables[key]
        except (KeyError, IndexError, TypeError):
            if fault["type"] != "missing" or place < len(fault["loc"]):
                continue
        keys.append(key)
    return keys


def _unknown(model: type[BaseModel], keys: Sequence[str | int], location: Sequence[str | int]) -> str:
    """Says which setting was probably meant: the nearest of its table, else that of the same name in another."""
    prefix = "".join(f"{key}." for key in keys[:-1])
    own = sorted({name for table in _tables_at(model, location[:-1]) for name in table.model_fields})
    said = unknown_name(prefix + str(keys[-1]), "setting", [prefix + name for name in own], prefix)
    elsewhere = [f"{name}.{keys[-1]}" for name, table in _tables(model) if keys[-1] in table.model_fields]
    if "did you mean" not in said and elsewhere:
        return f"is no setting; did you mean {' or '.join(elsewhere)}?"
    return said


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables of a model with their names."""
    for name, field in model.model_fields.items():
        for table in models_in(field.annotation):
            yield name, table


def _tables_at(model: type[BaseModel], location: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may stand at a location, which is several if it is in a union."""
    found = [model]
    for key in location:
        if isinstance(key, int):
            continue
        fields = [table.model_fields[key] for table in found if key in table.model_fields]
        below = [one for field in fields for one in models_in(field.annotation)]
        tagged = [one for one in found if "name" in one.model_fields and one.model_fields["name"].default == key]
        found = below or tagged or found
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, those in unions and tuples included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in get_args(annotation) for one in models_in(part)]


def _shown(value: Any) -> str:
    """A value as a message repeats it."""
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
