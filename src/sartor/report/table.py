"""The table of candidates as values: what each cell says, and the exact number it sorts by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sartor.report.entries import Entry, best_first
from sartor.report.quantities import COSTS, NOT_MEASURED, Quantity, Spread, quantity

_METRICS_SHOWN = 5


@dataclass(frozen=True)
class Column:
    """A heading with its unit."""

    title: str
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """A value, the interval in small letters below it, and the number to sort by (empty sorts last)."""

    text: str
    note: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Row:
    entry: Entry
    cells: tuple[Cell, ...]


def metric_keys(found: Sequence[Entry], headline: str) -> list[str]:
    """The headline first, then the other metrics in the order they appear."""
    return list(dict.fromkeys([headline, *(key for e in found for key in e.metrics)]))[:_METRICS_SHOWN]


def cost_keys(found: Sequence[Entry]) -> list[str]:
    """The costs that somebody was measured for."""
    return [key for key in COSTS if any(key in e.costs for e in found)]


def columns(found: Sequence[Entry], headline: str) -> list[Column]:
    """The numeric columns."""
    keys = [*metric_keys(found, headline), *cost_keys(found)]
    return [Column(quantity(key).short, quantity(key).unit) for key in keys]


def rows(found: Sequence[Entry], headline: str) -> list[Row]:
    """Every candidate, the best first; metrics share their decimals in a column, costs span too much for that."""
    metrics, costs = metric_keys(found, headline), cost_keys(found)
    places = {key: quantity(key).column_places(e.metrics.get(key) for e in found) for key in metrics}
    made = []
    for e in best_first(found, headline):
        cells = [_cell(quantity(key), e.metrics.get(key), places[key]) for key in metrics]
        cells += [_cost_cell(e, key) for key in costs]
        made.append(Row(e, tuple(cells)))
    return made


def _cell(q: Quantity, value: Spread | None, places: int | None = None) -> Cell:
    if value is None:
        return Cell(NOT_MEASURED)
    apart = value.half is not None and value.half > 0
    return Cell(q.digits(value, places), _range(q, value, places) if apart else "", repr(value.value))


def _range(q: Quantity, value: Spread, places: int | None) -> str:
    """`91.6–94.4`: narrower than brackets, which stay where a minus sign would be mistaken for the dash."""
    said = q.interval(value, places)
    return said if "−" in said else said.strip("[]").replace(", ", "–")


def _cost_cell(e: Entry, key: str) -> Cell:
    cell = _cell(quantity(key), e.costs.get(key))
    if key == "throughput_rows_per_s" and e.best_batch and cell.sort:
        return Cell(cell.text, f"batch {e.best_batch}", cell.sort)
    return cell
