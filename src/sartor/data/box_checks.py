"""What is wrong with boxes: those without area, upside down, or outside of their image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sartor.data import pictures
from sartor.data.boxes import Box, labels_of
from sartor.data.problem import Problem, places, quoted, rows_of, short
from sartor.data.rows import Rows
from sartor.errors import BadInput

SLACK = 2.0
"""Pixels that a box may reach over a border: what rounding, or counting from 1, makes of one at the border."""
FEW = 8
"""Fewer boxes of a class than this teach little; a warning."""
OFTEN = 0.05
"""Share of wrong boxes from which they may be meant in another form."""
FIX = "correct the box, or leave it out"

Size = tuple[int, int]


def check(rows: Rows, values: Sequence[Any]) -> Iterator[Problem]:
    """Problems of the training part's boxes."""
    yield from wrong(rows, values)
    counts = Counter(labels_of(values))
    if not counts:
        fix = "name the column of boxes with --target, or add images with boxes"
        yield Problem("LABEL_SINGLE", "error", "no image has a box", fix, len(rows))
    few = sorted(label for label, count in counts.items() if count < FEW)
    if few and len(few) < len(counts):
        where = [i for i, boxes in enumerate(values) if any(box.label in few for box in boxes or ())]
        said, fix = f"there are fewer than {FEW} boxes of {quoted(few)}", "merge, drop or collect more of them"
        yield Problem("LABEL_RARE", "warning", said, fix, len(few), places(rows, where))


def of_part(train: Rows, part: Rows, values: Sequence[Any]) -> Iterator[Problem]:
    """Problems of a given part, whose classes are to be the training part's."""
    yield from wrong(part, values)
    known = set(labels_of(train.targets() or ())) | set(train.schema.labels)
    strange = [i for i, boxes in enumerate(values) if any(box.label not in known for box in boxes or ())]
    if strange:
        first = next(box.label for box in values[strange[0]] if box.label not in known)
        said = f"the class '{short(first)}' is not one of the training part: {quoted(sorted(known), 20)}"
        more = f" (and {rows_of(len(strange) - 1)} more)" if len(strange) > 1 else ""
        fix = "correct the row, or add images with this class to the training part"
        yield Problem("LABEL_UNKNOWN", "error", said + more, fix, len(strange), places(part, strange))


def wrong(rows: Rows, values: Sequence[Any]) -> Iterator[Problem]:
    """One problem for each way in which boxes are wrong, with the first rows; boxes that reach over a border a little,
    or stand twice."""
    sizes = _sizes(rows)
    found = _faults(values, sizes)
    where: dict[str, list[int]] = defaultdict(list)
    for i, fault in found.items():
        where[fault.code].append(i)
    meant = _meant(values, sizes) if len(found) > OFTEN * len(rows) else ""
    for code, at in where.items():
        more = f", and a box is so in {rows_of(len(at) - 1)} more" if len(at) > 1 else ""
        fix = meant or f"{FIX}; --skip-bad {len(at)} leaves such rows out"
        yield Problem(code, "error", found[at[0]].message + more, fix, len(at), places(rows, at))
    over = [i for i, boxes in enumerate(values) if i not in found and _over(boxes, sizes[i])]
    if over:
        said = f"a box reaches over the border of its image by up to {SLACK:g} pixels in {rows_of(len(over))}"
        yield Problem("BOX_BORDER", "warning", said, "nothing: it is cut there", len(over), places(rows, over))
    twice = [i for i, boxes in enumerate(values) if boxes and len(set(boxes)) < len(boxes)]
    if twice:
        said = f"the same box stands twice in {rows_of(len(twice))}"
        yield Problem("BOX_TWICE", "warning", said, "drop the copies: both count", len(twice), places(rows, twice))


def faults(rows: Rows) -> dict[int, BadInput]:
    """Position -> the first thing that is wrong with a row's boxes; none where rows have no boxes."""
    target = rows.schema.target
    if target is None or rows.schema.kind(target) != "boxes":
        return {}
    return _faults(rows.columns[target], _sizes(rows))


def _faults(values: Sequence[Any], sizes: Sequence[Size | None]) -> dict[int, BadInput]:
    each = ((i, box, sizes[i]) for i, boxes in enumerate(values) for box in boxes or ())
    found: dict[int, BadInput] = {}
    for i, box, size in each:
        if i not in found and (fault := _fault(box, size)) is not None:
            found[i] = fault
    return found


def _fault(box: Box, size: Size | None) -> BadInput | None:
    shown = f"the box {_numbers(box)} of '{short(box.label)}'"
    if box.right < box.left or box.bottom < box.top:
        return BadInput("BOX_INVERTED", f"{shown} ends before it begins", fix=FIX)
    if box.right == box.left or box.bottom == box.top:
        return BadInput("BOX_AREA", f"{shown} has no area", fix=FIX)
    if size is not None and max(-box.left, -box.top, box.right - size[0], box.bottom - size[1]) > SLACK:
        return BadInput("BOX_OUTSIDE", f"{shown} is not inside its image of {size[0]} x {size[1]} pixels", fix=FIX)
    return None


def _numbers(box: Box) -> str:
    return "[" + ", ".join(f"{v:g}" for v in box[1:5]) + "]"


def _over(boxes: Sequence[Box] | None, size: Size | None) -> bool:
    if size is None:
        return False
    return any(min(b.left, b.top) < 0 or b.right > size[0] or b.bottom > size[1] for b in boxes or ())


def _meant(values: Sequence[Any], sizes: Sequence[Size | None]) -> str:
    """What to do where every box is right in the other form; empty where it is not."""
    forms: dict[str, Callable[[Box], Box]] = {
        "they fit as corners: call the key 'box', which is xmin, ymin, xmax, ymax": lambda b: b._replace(
            right=b.right - b.left, bottom=b.bottom - b.top
        ),
        "they fit as sizes: call the key 'bbox', which is x, y, width, height": lambda b: b._replace(
            right=b.right + b.left, bottom=b.bottom + b.top
        ),
    }
    for said, form in forms.items():
        if not _faults([[form(box) for box in boxes or ()] for boxes in values], sizes):
            return said
    return ""


def _sizes(rows: Rows) -> list[Size | None]:
    """(N,) width and height of each row's image; None where there is none that can be read."""
    names = rows.schema.reading("image")
    if len(names) != 1:
        return [None] * len(rows)
    media = rows.column(names[0])
    there = [m for m in media if m is not None]
    seen = iter(pictures.each(there, pictures.look))
    looked = [None if m is None else next(seen) for m in media]
    return [(s.width, s.height) if s is not None and s.width else None for s in looked]
