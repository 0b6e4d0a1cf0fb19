"""Rows -> train, validation and test: a pure function of the data and the seed.

Rows with equal inputs, and rows of one group, stay together; classes keep their shares; a time column is cut in order.
Legend: N rows, U units (rows that stay together), C strata, 3 parts (train, validation, test).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data import boxes, duplicates, tags
from sartor.data.problem import rows_of
from sartor.data.rows import Rows
from sartor.errors import BadInput

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
AIM = 1000
"""Rows that a part should have: an accuracy near 90 % is then known to about 2 points."""
LEAST, MOST = 0.1, 0.2
BINS = 10

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Three parts, how they were made in words, and the sha256 of which row is where and of the data."""

    train: Rows
    validation: Rows
    test: Rows
    how: str
    fingerprint: str

    def sizes(self) -> dict[str, int]:
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}


def split(rows: Rows, *, seed: int = 0, validation: Rows | None = None, test: Rows | None = None) -> Split:
    """The given parts, and those that are not given cut from `rows`. Raises `BadInput` where a part would be empty."""
    wanted = [0, 0 if validation is not None else aim(len(rows)), 0 if test is not None else aim(len(rows))]
    wanted[TRAIN] = len(rows) - sum(wanted)
    where, how = _assign(rows, wanted, seed)
    cut = [rows.take(np.flatnonzero(where == part)) for part in (TRAIN, VALIDATION, TEST)]
    parts = (cut[TRAIN], cut[VALIDATION] if validation is None else validation, cut[TEST] if test is None else test)
    given = [name for name, part in (("validation", validation), ("test", test)) if part is not None]
    said = [*([f"{' and '.join(given)} as given"] if given else []), *([how] if len(given) < 2 else [])]
    return parted(rows, parts, "; ".join(said))


def parted(rows: Rows, parts: tuple[Rows, Rows, Rows], how: str) -> Split:
    """The three parts of `rows` as a split. Raises `BadInput` where one is empty."""
    _refuse_empty(parts)
    return Split(*parts, how=how, fingerprint=_fingerprint(rows, parts))


def by_unit(
    rows: Rows, column: str, *, seed: int, validation: Rows | None, test: Rows | None, share: float = MOST
) -> Split:
    """The same with whole units: all rows that share a value of `column` are in one part, and `share` of the values in
    each part that is cut. Raises `BadInput` where there are fewer values than parts."""
    given = {"validation": validation, "test": test}
    values = rows.columns[column]
    units = sorted({str(v) for v in values if v is not None})
    parts, each = [part for part in (VALIDATION, TEST) if given[PARTS[part]] is None], max(1, round(share * len(units)))
    if len(units) <= len(parts):
        message = f"there is only one '{column}'" if len(units) == 1 else f"there are only {len(units)} '{column}'"
        fix = "give more of them, or the validation and the test part as files of their own"
        raise BadInput("SPLIT_UNITS", f"{message}, and each part needs its own", fix=fix, where=rows.source)
    dealt = np.random.default_rng(seed).permutation(len(units))
    home = {units[u]: part for at, part in enumerate(parts) for u in dealt[at * each : (at + 1) * each]}
    where = np.array([-1 if v is None else home.get(str(v), TRAIN) for v in values], dtype=np.int64)
    cut = [rows.take(np.flatnonzero(where == part)) for part in (TRAIN, VALIDATION, TEST)]
    made = (cut[TRAIN], validation or cut[VALIDATION], test or cut[TEST])
    nowhere = int((where < 0).sum())
    left_out = f"; left out, since their '{column}' is unknown: {rows_of(nowhere)}" if nowhere else ""
    said = [f"{' and '.join(n for n, part in given.items() if part is not None)} as given"] if len(parts) < 2 else []
    said += [f"each '{column}' in one part, seed {seed}{left_out}"] if parts else []
    return Split(*made, how="; ".join(said), fingerprint=_fingerprint(rows, made))


def aim(count: int) -> int:
    """Rows for a part cut from `count` rows: 1,000, but at least 10 % and at most 20 % of them."""
    return int(min(max(AIM, np.ceil(LEAST * count)), np.floor(MOST * count)))


def _assign(rows: Rows, wanted: Sequence[int], seed: int) -> tuple[Integers, str]:
    """(N,) the part of each row (-1: in none), and how it was chosen."""
    if wanted[VALIDATION] == wanted[TEST] == 0:
        return np.zeros(len(rows), dtype=np.int64), "nothing was cut"
    if rows.schema.time is not None:
        return _in_order(rows, wanted)
    unit = _units(rows)
    stratum, words = _strata(rows)
    where = _Balance(unit, stratum, wanted, np.random.default_rng(seed)).assign()
    grouped = f", each '{rows.schema.group}' on one side" if rows.schema.group else ""
    return where, f"{words}{grouped}, equal inputs on one side, seed {seed}"


def _units(rows: Rows) -> Integers:
    """(N,) the number of each row's unit: rows joined by an equal group or equal inputs, directly or through others."""
    keys: list[Any] = list(duplicates.keys(rows))
    if not duplicates.compared(rows) and len(set(keys)) < len(keys) / 2:
        keys = list(range(len(rows)))  # a few coarse columns: equal rows are different cases, not copies
    keys = [i if duplicates.blank(key) else key for i, key in enumerate(keys)]
    by_input = _codes(keys)
    if rows.schema.group is None:
        return by_input
    groups = rows.columns[rows.schema.group]
    by_group = _codes([("alone", i) if v is None else v for i, v in enumerate(groups)])
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = int(by_input.max()) + 1
    nodes = size + int(by_group.max()) + 1
    edges = coo_array((np.ones(len(rows)), (by_input, size + by_group)), shape=(nodes, nodes))
    labels: Integers = connected_components(edges, directed=False)[1]
    return _codes(labels[by_input].tolist())


def _codes(values: Sequence[Any]) -> Integers:
    """(N,) each value as the number of its first appearance."""
    numbers: dict[Any, int] = {}
    return np.fromiter((numbers.setdefault(v, len(numbers)) for v in values), dtype=np.int64, count=len(values))


def _strata(rows: Rows) -> tuple[Integers, str]:
    """(N,) the stratum of each row, and its name in words."""
    values, target = rows.targets(), rows.schema.target
    if values is None or target is None:
        return np.zeros(len(rows), dtype=np.int64), "at random"
    if rows.schema.kind(target) in ("text", "messages"):
        return np.zeros(len(rows), dtype=np.int64), "at random"
    if rows.schema.kind(target) == "number":
        numbers = np.asarray([np.nan if v is None else v for v in values], dtype=np.float64)
        edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.searchsorted(edges, numbers).astype(np.int64), f"stratified by '{target}' in {len(edges) + 1} bins"
    if rows.schema.kind(target) == "labels":
        return _codes(_label_sets(values)), f"stratified by the sets of '{target}'"
    if rows.schema.kind(target) == "tags":
        types = [sorted({kind for _, _, kind in tags.spans(v or ())}) for v in values]
        return _codes(_label_sets(types)), f"stratified by the types of span in '{target}'"
    if rows.schema.kind(target) == "boxes":
        classes = [sorted(set(boxes.labels_of([v]))) for v in values]
        return _codes(_label_sets(classes)), f"stratified by the classes in '{target}'"
    return _codes(list(values)), f"stratified by '{target}'"


def _label_sets(values: Sequence[Any]) -> list[Any]:
    """Each row's set of labels, or, where fewer than ten rows have that set, its rarest label."""
    sets = [tuple(sorted(v or ())) for v in values]
    counts = Counter(sets)
    single = Counter(label for labels in sets for label in labels)
    return [s if counts[s] >= 10 or not s else min(s, key=lambda label: (single[label], label)) for s in sets]


class _Balance:
    """Units dealt to parts so that each part has its share of each stratum.

    Units of several rows go first, the largest first, each where it disturbs the shares least (chi-square); single rows
    then fill every stratum's share exactly.
    """

    def __init__(self, unit: Integers, stratum: Integers, wanted: Sequence[int], rng: np.random.Generator) -> None:
        self.unit, self.stratum, self.rng = unit, stratum, rng
        self.wanted = np.asarray(wanted, dtype=np.float64)
        self.sizes = np.bincount(unit)
        self.order = np.argsort(unit, kind="stable")  # rows, unit by unit
        self.starts = np.cumsum(self.sizes) - self.sizes
        totals = np.bincount(stratum).astype(np.float64)
        self.share = np.outer(self.wanted / self.wanted.sum(), totals)  # (3, C)
        self.dealt = np.zeros_like(self.share)  # (3, C)
        self.part = np.full(len(self.sizes), -1, dtype=np.int64)  # (U,)

    def assign(self) -> Integers:
        """(N,) the part of each row."""
        several = np.flatnonzero(self.sizes > 1)
        several = self.rng.permutation(several)
        for u in several[np.argsort(-self.sizes[several], kind="stable")]:
            self._deal(int(u), self._members(int(u)))
        self._deal_singles(np.flatnonzero(self.sizes == 1))
        self._fill_train()
        return self.part[self.unit]

    def _members(self, u: int) -> Integers:
        return self.order[self.starts[u] : self.starts[u] + self.sizes[u]]

    def _deal(self, u: int, rows: Integers) -> None:
        strata, counts = np.unique(self.stratum[rows], return_counts=True)
        share, dealt = self.share[:, strata], self.dealt[:, strata]
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = (counts * (2 * (dealt - share) + counts) / share).sum(axis=1)
        room = self.wanted - self.dealt.sum(axis=1)
        cost[(self.wanted == 0) | (room < len(rows) / 2)] = np.inf
        best = int(np.argmin(cost)) if np.isfinite(cost).any() else TRAIN
        self.part[u] = best
        self.dealt[best, strata] += counts

    def _deal_singles(self, units: Integers) -> None:
        if not len(units):
            return
        units = self.rng.permutation(units)
        strata = self.stratum[self.order[self.starts[units]]]
        left = np.bincount(strata, minlength=self.share.shape[1])
        for part in (TEST, VALIDATION):
            need = self.wanted[part] - self.dealt[part].sum()
            ask = np.clip(self.share[part] - self.dealt[part], 0, None)
            spare = np.maximum(
                left - (self.dealt[TRAIN] == 0), 0
            )  # a stratum with no row in train yet keeps one for it
            count = _apportion(ask, spare, round(need))
            for stratum in np.flatnonzero(count):
                chosen = units[(strata == stratum) & (self.part[units] < 0)][: count[stratum]]
                self.part[chosen] = part
                self.dealt[part, stratum] += len(chosen)
            left = left - count
        self.part[units[self.part[units] < 0]] = TRAIN

    def _fill_train(self) -> None:
        """Every stratum has rows in train: where one has none, its smallest unit moves there."""
        present = np.zeros(self.share.shape[1], dtype=bool)
        present[self.stratum[self.part[self.unit] == TRAIN]] = True
        for stratum in np.flatnonzero(~present):
            holders = np.unique(self.unit[self.stratum == stratum])
            if len(holders) and not present[stratum]:
                moved = holders[np.argmin(self.sizes[holders])]
                self.part[moved] = TRAIN
                present[self.stratum[self._members(int(moved))]] = True


def _apportion(ask: NDArray[np.float64], limit: Integers, total: int) -> Integers:
    """(C,) whole numbers close to `ask`, at most `limit`, that sum to `total` where limits let them."""
    total = max(0, min(total, int(limit.sum())))
    scale = total / ask.sum() if ask.sum() > 0 else 0.0
    exact = np.minimum(ask * scale, limit)
    count = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - count), kind="stable")
    while count.sum() < total:
        open_ = order[count[order] < limit[order]]
        count[open_[: total - int(count.sum())]] += 1
    return count


def _in_order(rows: Rows, wanted: Sequence[int]) -> tuple[Integers, str]:
    """Train before validation before test by the time column; equal times stay together.

    A later row whose inputs an earlier part already has is left out of its part, since time leaves it no other place.
    """
    name = str(rows.schema.time)
    moments = _moments(rows, name)
    order = np.argsort(moments, kind="stable")
    ordered = moments[order]
    cuts = [_border(ordered, end) for end in np.cumsum(wanted)[:2]]
    where = np.empty(len(rows), dtype=np.int64)
    where[order] = np.searchsorted(np.asarray(cuts), np.arange(len(rows)), side="right")
    _refuse_split_groups(rows, where, name)
    unit = _codes(duplicates.keys(rows)) if duplicates.compared(rows) else np.arange(len(rows))
    earliest = np.full(int(unit.max()) + 1, TEST)
    np.minimum.at(earliest, unit, where)
    copies = where > earliest[unit]
    where[copies] = -1
    copied = rows_of(int(copies.sum()))
    left_out = (
        f"; left out, since an earlier part has the {duplicates.compared(rows)}: {copied}" if copies.any() else ""
    )
    return where, f"in the order of '{name}'{left_out}"


def _border(ordered: NDArray[np.float64], end: int) -> int:
    """The cut nearest to `end` that parts no equal times."""
    if end <= 0 or end >= len(ordered):
        return int(end)
    before = int(np.searchsorted(ordered, ordered[end], side="left"))
    after = int(np.searchsorted(ordered, ordered[end], side="right"))
    return before if end - before <= after - end and before > 0 else after


def _moments(rows: Rows, name: str) -> NDArray[np.float64]:
    """(N,) the time of each row as a number: numbers as they are, dates as seconds."""
    moments = np.empty(len(rows), dtype=np.float64)
    for i, value in enumerate(rows.columns[name]):
        number = moment(value)
        if number is None:
            shown = "is empty" if value is None or value == "" else f"holds '{str(value)[:40]}', which is no time"
            fix = "write numbers, or dates such as 2024-05-31 or 2024-05-31T10:00:00"
            raise BadInput("TIME_ORDER", f"the time column '{name}' {shown}", fix=fix, where=rows.place(i))
        moments[i] = number
    return moments


def moment(value: Any) -> float | None:
    import datetime

    if isinstance(value, int | float):
        return float(value)
    try:
        moment = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _refuse_split_groups(rows: Rows, where: Integers, time: str) -> None:
    group = rows.schema.group
    if group is None:
        return
    home: dict[Any, int] = {}
    for i, (value, part) in enumerate(zip(rows.columns[group], where.tolist(), strict=True)):
        if value is not None and home.setdefault(value, part) != part:
            message = f"the '{group}' '{str(value)[:40]}' has rows on both sides of a cut by '{time}'"
            fix = "split by only one of the two, or give the parts as files of their own"
            raise BadInput("SPLIT_GROUP", message, fix=fix, where=rows.place(i))


def _refuse_empty(parts: Sequence[Rows]) -> None:
    for name, part in zip(PARTS, parts, strict=True):
        if not len(part):
            fix = "give more rows or groups, or give the parts as files of their own"
            raise BadInput("SPLIT_EMPTY", f"no row is left for the {name} part", fix=fix, where=parts[TRAIN].source)


def _fingerprint(rows: Rows, parts: Sequence[Rows]) -> str:
    """sha256 of each part's row numbers and of the data, given parts included."""
    digest = hashlib.sha256(rows.fingerprint().encode())
    for part in parts:
        digest.update(part.source.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(np.asarray(part.numbers, dtype="<i8").tobytes())
        digest.update(b"" if part.source == rows.source else part.fingerprint().encode())
    return digest.hexdigest()
