"""A name -> a part. The only place that turns a string into something that runs.

`part("methods", "lora:r=16")` imports `sartor.methods.lora`, takes the one `Part` defined there and casts the settings
by their annotations. A dotted name (`my_lab.prefix`) imports the user's own file the same way: that is the whole
plugin system. The file's name is the only registration.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import math
import pkgutil
import re
import sys
import types
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar, Union

from sartor.errors import BadInput, did_you_mean

SHELVES = ("tasks", "backbones", "methods", "objectives", "compressors", "baselines")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A frozen value with a name and settings; its fields are its settings and its spelling on the command line."""

    shelf: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The file's name; a user's own part keeps its dotted module name."""
        module = type(self).__module__
        inside = f"sartor.{self.shelf}."
        return module.removeprefix(inside).split(".")[0] if module.startswith(inside) else module

    def settings(self) -> dict[str, Any]:
        """Every field as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def spelled(self) -> str:
        """The shortest `name:key=value,...` that makes this part again; learned fields are left out."""
        changed = [
            f"{f.name}={spell(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if not f.metadata.get("learned") and getattr(self, f.name) != _default(f)
        ]
        return self.name + (":" + ",".join(changed) if changed else "")

    def to_json(self) -> dict[str, Any]:
        return {"part": self.name, **self.settings()}

    def with_settings(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)


def learned(default: Any) -> Any:
    """A field that `learn` fills in from the data; it is kept on disk but is no setting for people."""
    return dataclasses.field(default=default, metadata={"learned": True})


P = TypeVar("P", bound=Part)
D = TypeVar("D")


def names(shelf: str) -> list[str]:
    """The parts on a shelf: its files."""
    folder = importlib.import_module(f"sartor.{shelf}")
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_"))


def part_class(shelf: str, name: str) -> type[Part]:
    """The one `Part` that the file `name` on `shelf` defines."""
    module_name = name if "." in name else f"sartor.{shelf}.{name}"
    if "." not in name and name not in names(shelf):
        raise BadInput(
            "PART_UNKNOWN", f"no {_singular(shelf)} is called '{name}'", fix=did_you_mean(name, names(shelf))
        )
    if "." in name and not _importable(name):
        raise BadInput("PART_UNKNOWN", f"no Python module is called '{name}'", fix="put its folder on PYTHONPATH")
    module = importlib.import_module(module_name)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise BadInput("PART_SHAPE", f"'{module_name}' defines {len(found)} parts", fix="define exactly one in a file")
    if found[0].shelf != shelf:
        raise BadInput(
            "PART_SHELF", f"'{name}' is not one of the {shelf}", fix=f"use one of: {', '.join(names(shelf))}"
        )
    return found[0]


def part(shelf: str, spelled: str) -> Part:
    """The part that `name:key=value,...` spells. Raises `BadInput` for an unknown name, setting or value."""
    name, _, rest = spelled.partition(":")
    made = part_class(shelf, name.strip())
    given: dict[str, Any] = {}
    for piece in filter(None, (p.strip() for p in apart(rest, ","))):
        key, equals, text = piece.partition("=")
        if not equals:
            raise BadInput(
                "PART_SETTING", f"'{piece}' in '{spelled}' has no value", fix="write name:key=value,key=value"
            )
        if key in given:
            raise BadInput("PART_SETTING", f"'{key}' stands twice in '{spelled}'", fix="keep one")
        given[key] = text
    return build(made, given)


def part_from_json(shelf: str, value: dict[str, Any]) -> Part:
    """The part that `Part.to_json` wrote. A file gets no code imported: a user's own part must be there already."""
    name = str(value["part"])
    if "." in name and name not in sys.modules:
        fix = f"import {name} in Python first, if you trust it"
        raise BadInput("PART_FOREIGN", f"the file needs the part '{name}', which is not one of Sartor's", fix=fix)
    return build(part_class(shelf, str(value["part"])), {k: v for k, v in value.items() if k != "part"})


def build(made: type[P], given: dict[str, Any]) -> P:
    """`made` with each of `given` cast by its annotation."""
    return settings_of(made, given, made.__module__.rsplit(".", 1)[-1])


def settings_of(made: type[D], given: dict[str, Any], name: str) -> D:
    """The frozen dataclass `made` with each of `given` cast by its annotation; `name` is what errors call it."""
    hints = typing.get_type_hints(made)
    fields = {f.name: f for f in dataclasses.fields(made)}  # type: ignore[arg-type]
    for key in given:
        if key not in fields:
            known = [f.name for f in fields.values() if not f.metadata.get("learned")]
            fix = did_you_mean(key, known) if known else f"{name} has no settings; leave it out"
            raise BadInput("PART_SETTING", f"{name} has no setting '{key}'", fix=fix)
    return made(**{key: cast(hints[key], value, f"{name}.{key}") for key, value in given.items()})


def cast(kind: Any, value: Any, where: str) -> Any:
    """`value` (text from people, JSON from disk) as `kind`; raises `BadInput` that says what would be right."""
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _cast_union(typing.get_args(kind), value, where)
    if origin is Literal:
        return _cast_literal(typing.get_args(kind), value, where)
    if origin is tuple:
        return _cast_tuple(typing.get_args(kind)[0], value, where)
    if isinstance(kind, type) and issubclass(kind, Part):
        return part_from_json(kind.shelf, value) if isinstance(value, dict) else part(kind.shelf, bare(str(value)))
    return _cast_plain(kind, value, where)


def _importable(name: str) -> bool:
    try:
        return all(name.split(".")) and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _cast_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if type(None) in kinds and (value is None or value in ("none", "")):
        return None
    errors: list[BadInput] = []
    for kind in (k for k in kinds if k is not type(None)):
        try:
            return cast(kind, value, where)
        except BadInput as error:
            errors.append(error)
    raise errors[0]


def _cast_literal(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    for choice in allowed:
        if str(value) == str(choice):
            return choice
    raise BadInput("VALUE", f"{where} is '{value}'", fix=did_you_mean(str(value), [str(a) for a in allowed]))


def _cast_tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    items = list(filter(None, apart(value, "+"))) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        items = [items]
    return tuple(cast(kind, item, where) for item in items)


def _cast_plain(kind: Any, value: Any, where: str) -> Any:
    text = str(value)
    if kind is bool:
        truth = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}.get(text.lower())
        if truth is None:
            raise BadInput("VALUE", f"{where} is '{text}', not true or false", fix="write true or false")
        return truth
    if kind is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise BadInput("VALUE", f"{where} is '{text}', not a whole number", fix="write it in digits, such as 16")
        return int(text)
    if kind is float:
        return _cast_float(text, where)
    return text if kind is str else value


def _cast_float(text: str, where: str) -> float:
    fix = "write a number such as 0.1 or 1e-4"
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        raise BadInput("VALUE", f"{where} is '{text}', not a number", fix=fix) from None
    if not math.isfinite(number):
        raise BadInput("VALUE", f"{where} is '{text}', not a finite number", fix=fix)
    return number


def _default(f: dataclasses.Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_json()
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def apart(text: str, sign: str) -> list[str]:
    """The text parted at each `sign` that stands in no brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == sign and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return found


def bare(text: str) -> str:
    """A part's spelling without the brackets around it."""
    text = text.strip()
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def spell(value: Any) -> str:
    """A setting's value as the command line has it; a part that has settings of its own stands in brackets."""
    if isinstance(value, Part):
        return f"({value.spelled()})" if ":" in value.spelled() else value.spelled()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "+".join(spell(v) for v in value) if isinstance(value, tuple) else str(value)


def _singular(shelf: str) -> str:
    return shelf[:-1]
