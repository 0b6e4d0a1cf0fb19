"""What the user said about the data; it overrides every guess."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sartor.data.rows import KINDS
from sartor.errors import BadInput, did_you_mean


@dataclass(frozen=True)
class Hints:
    """Column names, and kinds for them.

    target   the column to predict
    text     text columns in order: one, or two for a text pair; given, they are the only inputs
    ignore   columns left out
    kinds    column -> kind
    group    rows that share its value stay on one side of a split
    time     the split follows its order
    labels   every label there may be, where the user declares them
    skip_bad  at most so many rows are left out because their image or sound cannot be read
    untargeted   nothing that stands in a column is predicted: the task makes its own targets
    itself       what is predicted is what is read, word by word
    reasons  column -> why it has its kind, where a task knew it and not the user
    """

    target: str | None = None
    text: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    time: str | None = None
    labels: tuple[str, ...] = ()
    skip_bad: int = 0
    untargeted: bool = False
    itself: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)

    def aimed(self, target: str | None) -> Hints:
        """The same hints with this target, where one is given."""
        return self if target is None else replace(self, target=target)

    def named(self) -> tuple[str, ...]:
        """Every column the hints name, the target first."""
        alone = [name for name in (self.target, self.group, self.time) if name is not None]
        return tuple(dict.fromkeys([*alone, *self.text, *self.ignore, *self.kinds]))


def called(columns: Collection[str], names: Collection[str]) -> str | None:
    """The column of one of these names, the first of them first."""
    known = {column.strip().casefold(): column for column in columns}
    return next((known[name] for name in names if name in known), None)


def refuse_contradictions(hints: Hints) -> None:
    """Raise `BadInput` where two hints cannot both hold, or a kind has an unknown name."""
    for name, kind in hints.kinds.items():
        if kind not in KINDS:
            raise BadInput("KIND_UNKNOWN", f"column '{name}' is given the kind '{kind}'", fix=did_you_mean(kind, KINDS))
    if len(hints.text) > 2:
        names = ", ".join(hints.text)
        raise BadInput(
            "HINT_CONFLICT", f"{len(hints.text)} text columns are named ({names})", fix="name one, or two for a pair"
        )
    if len(set(hints.text)) < len(hints.text):
        raise BadInput("HINT_CONFLICT", f"the text column '{hints.text[0]}' is named twice", fix="name it once")
    roles = {"the target": hints.target, "the group": hints.group, "the time": hints.time}
    for role, column in roles.items():
        if column is not None and column in hints.ignore:
            raise BadInput("HINT_CONFLICT", f"column '{column}' is {role} and also ignored", fix="drop one of the two")
    for name in hints.text:
        if name in hints.ignore or name in (hints.target, hints.group):
            other = "ignored" if name in hints.ignore else "the target" if name == hints.target else "the group"
            raise BadInput(
                "HINT_CONFLICT", f"column '{name}' is a text input and also {other}", fix="drop one of the two"
            )
