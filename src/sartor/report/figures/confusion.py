"""What the pick takes for what: a heat map of rows by class, and for many classes the pairs it confuses most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sartor.report import svg
from sartor.report.figures.frame import is_narrow
from sartor.report.labels import fitted, text_width
from sartor.report.plain import shown

WHOLE = 25
"""Classes up to which the whole matrix is drawn."""
BLOCK = 12
"""Classes of the block that is drawn of a larger one."""


@dataclass(frozen=True)
class Confusion:
    """Counts of the test rows: a row per true label, a column per predicted one.

    `sizes` are the true rows of each label, also where the columns are only a part of all.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    def share(self, true: int, predicted: int) -> float:
        return self.counts[true][predicted] / self.sizes[true] if self.sizes[true] else 0.0

    def pairs(self) -> list[tuple[int, int, int]]:
        """(true, predicted, rows) of every confusion that happened, the most frequent first."""
        found = [(t, p, n) for t, row in enumerate(self.counts) for p, n in enumerate(row) if n and t != p]
        return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))

    def block(self, wanted: int = BLOCK) -> Confusion:
        """The labels of the most frequent confusions, as a matrix of their own."""
        chosen: list[int] = []
        for true, predicted, _ in self.pairs():
            chosen += [k for k in (true, predicted) if k not in chosen]
            if len(chosen) >= wanted:
                break
        kept = chosen[:wanted]
        counts = tuple(tuple(self.counts[t][p] for p in kept) for t in kept)
        return Confusion(tuple(self.labels[k] for k in kept), counts, tuple(self.sizes[k] for k in kept))


def confusion_of(value: Mapping[str, Any] | None) -> Confusion | None:
    """The result's `{"labels", "counts"}`; None where there is none or it is not square."""
    labels = [shown(label, 80) for label in (value or {}).get("labels") or []]
    counts = [[int(n) for n in row] for row in (value or {}).get("counts") or []]
    if not labels or len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        return None
    return Confusion(tuple(labels), tuple(map(tuple, counts)), tuple(sum(row) for row in counts))


def heat_map(made: Confusion, width: float) -> Markup:
    """The matrix, shaded by share of the true label's rows: right answers in one colour, mistakes in another."""
    n, narrow = len(made.labels), is_narrow(width)
    longest = max(text_width(label, 11.5) for label in made.labels)
    left = min(longest + 12, 100.0 if narrow else 190.0)
    right = 0.0 if narrow else 84.0
    cell = min(58.0, (width - left - right) / n)
    above = min(longest * 0.72 + 20, 92.0 if narrow else 140.0)
    origin = (left, above)
    drawn = [_labels(made, origin, cell, narrow), *(_matrix_row(made, t, origin, cell) for t in range(n))]
    used = left + cell * n + right
    title = "Confusion of the pick on the test part"
    told = f"{n} by {n} labels; a row per true label, a column per predicted one. Right on the diagonal."
    picture = svg.drawing((max(used, 0.0), above + cell * n + 8), title, told, *drawn)
    return svg.element("div", {"class": "matrix", "style": f"max-width:{used:.0f}px"}, picture)


def _labels(made: Confusion, origin: tuple[float, float], cell: float, narrow: bool) -> Markup:
    left, above = origin
    drawn = []
    for k, label in enumerate(made.labels):
        y = above + cell * (k + 0.5) + 4
        drawn.append(svg.text(left - 8, y, fitted(label, left - 12, 11.5), "cell-name", "end"))
        x = left + cell * (k + 0.5)
        drawn.append(svg.text(x, above - 8, fitted(label, (above - 22) / 0.72, 11.5), "cell-name", "start", -45))
        if not narrow:
            said = f"{made.share(k, k):.0%} of {made.sizes[k]:,}"
            drawn.append(svg.text(left + cell * len(made.labels) + 8, y, said, "note"))
    corner = svg.text(0, above - 8, "true ↓ predicted →", "note")
    return svg.group({}, corner, *drawn)


def _matrix_row(made: Confusion, true: int, origin: tuple[float, float], cell: float) -> Markup:
    left, y = origin[0], origin[1] + cell * true
    return svg.group({}, *(_cell(made, true, p, left + cell * p, y, cell) for p in range(len(made.labels))))


def _cell(made: Confusion, true: int, predicted: int, x: float, y: float, cell: float) -> Markup:
    rows, share = made.counts[true][predicted], made.share(true, predicted)
    level = 0 if not rows else min(9, 1 + int(share * 8.99)) if true == predicted else min(9, 2 + int(share * 28))
    kind = "right" if true == predicted else "wrong"
    square = svg.rectangle(x + 0.75, y + 0.75, cell - 1.5, cell - 1.5, f"cell {kind} l{level}", 2.0)
    if not rows:
        return square
    told = svg.element(
        "title", {}, f"{made.labels[true]}, predicted {made.labels[predicted]}: {rows:,} of {made.sizes[true]:,} rows"
    )
    fits = text_width(f"{rows}", 11.5) + 2 < cell
    said = (
        [svg.text(x + cell / 2, y + cell / 2 + 4, f"{rows}", f"cell-count {kind} l{level}", "middle")] if fits else []
    )
    return svg.group({"class": "cell-group"}, told, square, *said)


def pair_rows(made: Confusion, limit: int = 25) -> Sequence[tuple[str, str, int, str]]:
    """(true, predicted, rows, share of the true label's rows) of the most frequent confusions."""
    return [(made.labels[t], made.labels[p], n, f"{made.share(t, p):.0%}") for t, p, n in made.pairs()[:limit]]
