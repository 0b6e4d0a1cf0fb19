"""show: what a shelf holds, what a part does and which settings it has, what a bundle is."""

from __future__ import annotations

import dataclasses
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor import part as parts
from sartor.errors import BadInput, did_you_mean
from sartor.part import SHELVES, Part

LONG = 20
"""Values of a setting that are still listed."""


@dataclass(frozen=True)
class ShowResult:
    """What was asked about. `kind` is shelf, part or bundle; `details` its plain values; `text` for people."""

    kind: str
    name: str
    details: dict[str, Any]
    text: str
    brief: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, **self.details}


def show(what: str) -> ShowResult:
    """Explain `methods`, `lora`, `methods/lora` or a bundle's folder. Raises `BadInput` for anything else."""
    if what in SHELVES:
        return _shelf(what)
    shelf, _, name = what.rpartition("/")
    found = [s for s in SHELVES if name in parts.names(s) and shelf in ("", s)]
    if found:
        return _part(found[0], name)
    if Path(what).exists():
        return _bundle(what)
    known = [*SHELVES, *(n for s in SHELVES for n in parts.names(s))]
    raise BadInput("SHOW_UNKNOWN", f"there is no shelf, part or bundle '{what}'", fix=did_you_mean(name, known))


def _shelf(shelf: str) -> ShowResult:
    lines = {name: _first(parts.part_class(shelf, name)) for name in parts.names(shelf)}
    width = max((len(name) for name in lines), default=0)
    text = "\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()) or f"no {shelf} yet"
    return ShowResult("shelf", shelf, {"parts": lines}, text, "\n".join(lines))


def _first(made: type[Part]) -> str:
    return _module_doc(made).splitlines()[0]


def _module_doc(made: type[Part]) -> str:
    return (sys.modules[made.__module__].__doc__ or made.__doc__ or made.__name__).strip()


def _part(shelf: str, name: str) -> ShowResult:
    made = parts.part_class(shelf, name)
    doc = _module_doc(made)
    settings = _settings(made)
    rate = getattr(made, "learning_rate", None)
    details = {"shelf": shelf, "doc": doc, "settings": settings} | ({"learning_rate": rate} if rate else {})
    lines = [f"{shelf}/{name}", "", doc, "", "Settings:" if settings else "It has no settings."]
    width = max((len(f"{s['name']}={s['default']}") for s in settings), default=0)
    lines += [f"  {s['name'] + '=' + str(s['default']):<{width}}  {s['type']}" for s in settings]
    lines += [f"  its own plan.learning_rate is {rate:g}"] if rate else []
    example = f"{name}:{settings[0]['name']}={settings[0]['default']}" if settings else name
    lines += ["", f"Write it as: {example}"]
    return ShowResult("part", f"{shelf}/{name}", details, "\n".join(lines), doc.splitlines()[0])


def _settings(made: type[Part]) -> list[dict[str, str]]:
    """Each setting's name, default as it is spelled, and type."""
    hints = typing.get_type_hints(made)
    known = [f for f in dataclasses.fields(made) if not f.metadata.get("learned")]
    return [{"name": f.name, "default": _default(f), "type": _type(hints[f.name])} for f in known]


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default_factory() if callable(field.default_factory) else field.default
    if value is dataclasses.MISSING:
        return "(must be given)"
    return parts.spell(value)


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(str(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"{_type(typing.get_args(hint)[0])}, joined by +"
    named = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text"}
    return " or ".join(
        named.get(t, t) for t in str(getattr(hint, "__name__", hint)).replace("NoneType", "none").split(" | ")
    )


def _bundle(what: str) -> ShowResult:
    """The recipe and the card of a verified bundle; no network is built."""
    from sartor.bundle import verify
    from sartor.pretrained.gate import read_json

    folder = Path(what)
    verify(folder)
    recipe, card, schema = (read_json(folder / f"sartor/{n}.json") for n in ("recipe", "card", "schema"))
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    details = {"recipe": recipe, "card": card, "schema": schema, "bytes": size}
    lines = [what, "", *_recipe_lines(recipe), f"target      {schema.get('target')}"]
    lines += [
        f"inputs      {', '.join(schema.get('inputs', []))}",
        f"size        {size / 1e6:.1f} MB",
        "",
        *_card_lines(card),
    ]
    return ShowResult("bundle", what, details, "\n".join(lines).rstrip(), _recipe_lines(recipe)[-1])


def _recipe_lines(recipe: dict[str, Any]) -> list[str]:
    """One line for each part, its own settings behind it."""
    lines = []
    for role in ("task", "backbone", "method", "objective", "baseline"):
        if isinstance(value := recipe.get(role), dict):
            settings = ", ".join(f"{k}={_setting(v)}" for k, v in value.items() if k not in ("part", "labels"))
            lines.append(f"{role:<11} {value.get('part')}" + (f" ({settings})" if settings else ""))
    return lines


def _setting(value: Any) -> Any:
    """A setting's value; of a part in it the name alone, of a long list how long it is."""
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value):,} values"
    if isinstance(value, list):
        return "+".join(str(_setting(v)) for v in value) if any(isinstance(v, dict) for v in value) else value
    return value.get("part") if isinstance(value, dict) else value


def _card_lines(card: dict[str, Any]) -> list[str]:
    """The card's plain values and flat tables of values; nested ones are for --json."""
    lines: list[str] = []
    for key, value in card.items():
        if isinstance(value, dict):
            flat = {k: v for k, v in value.items() if isinstance(v, int | float | str)}
            lines += [f"{key}.{k}: {_number(v)}" for k, v in flat.items()]
        elif isinstance(value, int | float | str):
            lines.append(f"{key}: {_number(value)}")
    return lines


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
