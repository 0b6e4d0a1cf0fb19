"""Columns and hints -> a schema: what each column holds, which is predicted, and from which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from sartor.data.hints import Hints
from sartor.data.kinds import is_quantity, look
from sartor.data.rows import TASK, Column, Kind, Schema
from sartor.errors import BadInput, did_you_mean

TARGETS = ("label", "labels", "target", "class", "y")
WEAKER_TARGETS = ("stars", "sentiment", "category", "rating", "score", "outcome", "intent", "emotion", "topic")
PAIRS = (
    ("text", "text_pair"), ("text_a", "text_b"), ("text1", "text2"),
    ("sentence1", "sentence2"), ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"), ("question1", "question2"), ("question", "answer"), ("question", "sentence"),
    ("question", "passage"), ("question", "context"), ("query", "passage"), ("query", "document"), ("title", "body"),
)  # fmt: skip
INPUT_KINDS = ("number", "category", "boolean", "date", "image", "audio")


def infer(columns: Mapping[str, Sequence[Any]], hints: Hints, source: str, *, serving: bool = False) -> Schema:
    """The schema of raw columns and hints that fit them; raises `BadInput` where nothing says what to predict."""
    kept = {name: values for name, values in columns.items() if name not in hints.ignore}
    looked = {name: _column(name, values, hints) for name, values in kept.items()}
    target = hints.target if hints.target in kept else None
    if hints.target is None and not hints.untargeted and not hints.itself:
        target = _guess_target(looked, hints, source, serving)
    if target is not None and target not in hints.kinds:
        looked[target] = _as_target(looked[target], kept[target])
    roles = {target, hints.group, hints.time}
    chosen = _texts({n: c for n, c in looked.items() if n not in roles}, hints, kept)
    looked |= {c.name: c for c in chosen}
    inputs = _inputs(looked, [c.name for c in chosen], hints, roles)
    if not inputs:
        raise BadInput(
            "DATA_NO_INPUTS", "no column is left to predict from", fix="name a text column with --text", where=source
        )
    target = inputs[0] if hints.itself else target
    return Schema(tuple(looked.values()), target, inputs, hints.group, hints.time, tuple(dict.fromkeys(hints.labels)))


def narrowed(schema: Schema, kinds: Collection[str]) -> Schema:
    """The schema with only the inputs of `kinds`: what a backbone that reads those needs when it serves."""
    inputs = tuple(name for name in schema.inputs if schema.kind(name) in kinds)
    members = {name: narrowed(member, kinds) for name, member in schema.members.items()}
    used = {schema.target, schema.group, schema.time, *inputs} | ({TASK} if members else set())
    used |= {column.name for member in members.values() for column in member.columns}
    columns = tuple(c for c in schema.columns if c.name in used)
    return replace(schema, columns=columns, inputs=inputs, members=members)


def refuse_unknown(columns: Collection[str], hints: Hints, source: str, serving: bool) -> None:
    """Raise `BadInput` for a hint that names a column the data lack; serving, only the texts must be there."""
    for name in hints.named():
        if name not in columns and not (serving and name not in hints.text):
            code = "LABEL_COLUMN" if name == hints.target else "DATA_COLUMN_MISSING"
            raise BadInput(code, f"there is no column '{name}'", fix=did_you_mean(name, columns), where=source)


def _column(name: str, values: Sequence[Any], hints: Hints) -> Column:
    said = hints.kinds.get(name) or ("text" if name in hints.text else None)
    if said is None:
        return look(name, values)
    missing = sum(v is None or v == "" for v in values)
    distinct = len({v if v.__hash__ else repr(v) for v in values if v is not None and v != ""})
    return Column(name, cast(Kind, said), hints.reasons.get(name, "given"), missing, distinct)


def _guess_target(looked: Mapping[str, Column], hints: Hints, source: str, serving: bool) -> str | None:
    taken = {*hints.text, hints.group, hints.time}
    free = [name for name in looked if name not in taken]
    for names in (TARGETS, WEAKER_TARGETS):
        found = [name for name in free if name.strip().casefold() in names]
        if len(found) == 1:
            return found[0]
        if len(found) > 1 and not serving:
            message = f"several columns could be the one to predict: {', '.join(found)}"
            raise BadInput(
                "LABEL_COLUMN", message, fix=f"pass --target NAME, such as --target {found[0]}", where=source
            )
    if serving:
        return None
    shown = ", ".join(list(looked)[:20]) + (f" and {len(looked) - 20} more" if len(looked) > 20 else "")
    message = f"nothing says which column to predict; the columns are: {shown}"
    raise BadInput("LABEL_COLUMN", message, fix="pass --target NAME", where=source)


def _as_target(column: Column, values: Sequence[Any]) -> Column:
    """A target's kind: a quantity, labels, or a category; whatever else it looks like is a category to predict."""
    quantity = is_quantity(values) if column.kind in ("number", "category", "id") else None
    if quantity:
        why = f"{column.distinct:,} distinct numbers: a quantity to predict"
        return replace(column, kind="number", why=why)
    if column.kind in ("labels", "boxes") or (column.kind == "number" and quantity is None):
        return column
    return replace(column, kind="category", why=f"{column.distinct:,} distinct values: classes to predict")


def _texts(looked: Mapping[str, Column], hints: Hints, columns: Mapping[str, Sequence[Any]]) -> list[Column]:
    """The text columns to read, first the first of a pair; of three or more without a known pair, the longest alone."""
    if hints.text:
        return [looked[name] for name in hints.text if name in looked]
    found = [c for c in looked.values() if c.kind == "text"]
    if len(found) < 2:
        return found
    names = {c.name.strip().casefold(): c for c in found}
    for one, two in PAIRS:
        if one in names and two in names:
            return [replace(names[n], why=f"{names[n].why}; read as the pair {one}, {two}") for n in (one, two)]
    if len(found) == 2:
        first, second = (c.name for c in found)
        return [
            replace(c, why=f"{c.why}; read as the pair {first}, {second} (--text NAME reads one alone)") for c in found
        ]
    longest = max(found, key=lambda c: sum(len(str(v)) for v in columns[c.name][:1000] if v is not None))
    return [replace(longest, why=f"{longest.why}; the longest of {len(found)} text columns (--text chooses others)")]


def _inputs(
    looked: Mapping[str, Column], texts: Sequence[str], hints: Hints, roles: Collection[str | None]
) -> tuple[str, ...]:
    """Text columns first, then, unless the user named the texts, everything else that can be read."""
    if hints.text:
        return tuple(texts)
    read = [c for c in looked.values() if c.name not in roles and (c.kind in INPUT_KINDS or c.name in hints.kinds)]
    others = [c.name for c in read if c.kind not in ("text", "id") and c.distinct > 0]
    return (*texts, *others)
