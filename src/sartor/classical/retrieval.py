"""Retrieval: whose partner is found, at which rank, among all partners that were asked together.

A query may have several partners, and a partner several queries; the rank of a query is that of its best partner among
those that are none of its. Equal similarities count as if their order were drawn, so that who says the same of
everything scores what chance gives.

Legend: N rows (pairs), L distinct first sides, R distinct second ones, B of a block, K nearest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.data import pairs
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows

BLOCK = 256
NEAREST = 5
"""Partners that are named for each query."""
SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Sharpnesses of the softmax over similarities; the one with the least loss on the other half of the queries counts."""
USUAL = 16.0

Similar = Callable[[Integers, Integers], Floats]
"""Rows of first sides (B,), rows of second sides (R,) -> (B, R) how similar they are."""


@dataclass(frozen=True)
class Pool:
    """What was asked together.

    left, right     (N,) each row's side as its place among the distinct ones; -1 where it is empty
    lefts, rights   (L,), (R,) a row that has each of them
    related         (L, R) sparse, above 0 where they belong together
    """

    left: Integers
    right: Integers
    lefts: Integers
    rights: Integers
    related: Any

    @classmethod
    def of(cls, rows: Rows, grouped: bool = False) -> Pool:
        """`grouped`: all rows of one group belong together, besides each row's own two sides."""
        from scipy.sparse import csr_matrix

        left, right = (pairs.codes(pairs.keys(rows, name)) for name in pairs.sides(rows.schema, rows.source))
        home = np.arange(len(rows))
        if grouped and rows.schema.group is not None:
            home = pairs.codes([v if v is not None else (i,) for i, v in enumerate(rows.columns[rows.schema.group])])
        on = [_members(side, home, csr_matrix) for side in (left, right)]
        return cls(left, right, _first(left), _first(right), (on[0] @ on[1].T).tocsr())


def _members(side: Integers, home: Integers, made: Any) -> Any:
    """(distinct sides, homes) 1 where a side has a row."""
    there = side >= 0
    shape = (int(side.max(initial=-1)) + 1, int(home.max(initial=-1)) + 1)
    return made((np.ones(int(there.sum())), (side[there], home[there])), shape=shape)


def _first(side: Integers) -> Integers:
    """The first row that has each distinct side."""
    return np.unique(side, return_index=True)[1][int((side < 0).any()) :].astype(np.int64)


def answered(rows: Rows, pool: Pool, similar: Similar) -> Predictions:
    """How similar each row's sides are, which partners are nearest, and where its own ones stand in both directions."""
    both = np.flatnonzero((pool.left >= 0) & (pool.right >= 0))
    own = np.full(len(rows), np.nan)
    for start in range(0, len(both), BLOCK):
        some = both[start : start + BLOCK]
        own[some] = similar(some, some).diagonal()
    ahead = _ranked(pool.lefts, pool.rights, pool.related, similar)
    back = _ranked(pool.rights, pool.lefts, pool.related.T.tocsr(), lambda a, b: similar(b, a).T)
    beside = {name: _spread(each, pool.left) for name, each in ahead.told(rows.numbers[pool.rights]).items()}
    beside |= {f"back {name}": _spread(each, pool.right) for name, each in back.told(rows.numbers[pool.lefts]).items()}
    return Predictions(rows.numbers, own, measures=beside)


def _spread(each: Floats, place: Integers) -> Floats:
    """(L, ...) of distinct sides -> (N, ...) of rows; no number where a side is empty."""
    out = np.full((len(place), *each.shape[1:]), np.nan)
    out[place >= 0] = each[place[place >= 0]]
    return out


@dataclass(frozen=True)
class Ranks:
    """Of L queries over R candidates.

    standing  (L, 3) candidates that are no partners and above the best partner, level with it, and partners level
              with it; no number where a query has no partner here
    losses    (L,) -log of the share that its partners have of the softmax over all candidates
    near      (L, K) places of the nearest candidates, their similarities in `nearness`; no number where there are fewer
    """

    standing: Floats
    losses: Floats
    near: Floats
    nearness: Floats

    def told(self, numbers: Integers) -> dict[str, Floats]:
        """Name -> (L, ...); candidates by their rows' numbers."""
        near = np.full(self.near.shape, np.nan)
        there = np.isfinite(self.near)
        near[there] = numbers[self.near[there].astype(np.int64)]
        found = {"query": np.arange(len(near), dtype=np.float64), "standing": self.standing, "loss": self.losses}
        return {**found, "nearest": near, "nearness": self.nearness}


def _ranked(asking: Integers, candidates: Integers, related: Any, similar: Similar) -> Ranks:
    """Block by block: all similarities are never whole in memory."""
    standing, losses, near = [np.empty((0, 3))], [np.empty((0, len(SCALES)))], [np.empty((0, 2, NEAREST))]
    for start in range(0, len(asking), BLOCK):
        cells = np.asarray(similar(asking[start : start + BLOCK], candidates), dtype=np.float64)
        partners = related[start : start + BLOCK].toarray() > 0
        standing.append(_standing(cells, partners))
        losses.append(_at_scales(cells, partners))
        near.append(_nearest(cells))
    places = np.concatenate(near)
    return Ranks(np.concatenate(standing), _cross_fitted(np.concatenate(losses)), places[:, 0], places[:, 1])


def _standing(cells: Floats, partners: Any) -> Floats:
    """(B, 3)"""
    if not cells.size:
        return np.full((len(cells), 3), np.nan)
    best = np.where(partners, cells, -np.inf).max(1, keepdims=True)
    level = cells == best
    each = ((cells > best) & ~partners, level & ~partners, level & partners)
    found = np.stack([one.sum(1) for one in each], 1).astype(np.float64)
    found[~partners.any(1)] = np.nan
    return found


def _at_scales(cells: Floats, partners: Any) -> Floats:
    """(B, scales) losses; no number where a query has no partner."""
    out = np.full((len(cells), len(SCALES)), np.nan)
    asked = partners.any(1)
    if not asked.any():
        return out
    x, own = cells[asked] - cells[asked].max(1, keepdims=True), partners[asked]
    best = np.where(own, x, -np.inf).max(1, keepdims=True)
    for i, scale in enumerate(SCALES):
        whole = np.log(np.exp(scale * x).sum(1))
        shares = np.where(own, np.exp(scale * (np.where(own, x, best) - best)), 0.0).sum(1)
        out[asked, i] = whole - scale * best[:, 0] - np.log(shares)
    return out


def _cross_fitted(each: Floats) -> Floats:
    """(L, scales) -> (L,) at the scale that suits the other half of the queries."""
    out = np.full(len(each), np.nan)
    asked = np.flatnonzero(np.isfinite(each[:, 0]))
    halves = asked[::2], asked[1::2]
    for some, others in (halves, halves[::-1]):
        chosen = int(each[others].mean(0).argmin()) if len(others) else SCALES.index(USUAL)
        out[some] = each[some, chosen]
    return out


def _nearest(cells: Floats) -> Floats:
    """(B, 2, K) places and similarities, the nearest first; no number where there are fewer than K."""
    out = np.full((len(cells), 2, NEAREST), np.nan)
    k = min(NEAREST, cells.shape[1])
    if k and len(cells):
        top = np.argpartition(-cells, k - 1, axis=1)[:, :k]
        similar = np.take_along_axis(cells, top, 1)
        order = np.lexsort((top, -similar), axis=1)  # equal ones: the earlier first
        out[:, 0, :k], out[:, 1, :k] = (np.take_along_axis(a, order, 1) for a in (top, similar))
    return out


def queries(said: Predictions, back: bool = False) -> tuple[Floats, Floats, Integers]:
    """(Q, 3) standings and (Q,) losses of the distinct queries that have a partner, and (Q,) a row of each."""
    before = "back " if back else ""
    query, standing, losses = (said.measures[f"{before}{name}"] for name in ("query", "standing", "loss"))
    where = np.flatnonzero(np.isfinite(query) & np.isfinite(losses))
    first: Integers = where[np.unique(query[where], return_index=True)[1]]
    return np.asarray(standing[first]), np.asarray(losses[first]), first


def ranks(standing: Floats) -> Floats:
    """(Q,) the expected rank of each query's best partner."""
    above, tied, alike = standing.T
    found: Floats = above + 1 + tied / (alike + 1)
    return found


def recall_at(k: int, standing: Floats) -> Floats:
    """(Q,) how probable it is that a partner is among the first k: 0 or 1 but for equal similarities.

    Of `tied` others and `alike` partners in a drawn order, that none of the first m is a partner has probability
    C(tied, m) / C(tied + alike, m)."""
    from scipy.special import gammaln

    above, tied, alike = standing.T
    m = np.clip(k - above, 0, None)
    full = (m > tied) | ((tied == 0) & (m > 0))
    part = ~full & (m > 0)
    out: Floats = full.astype(np.float64)
    t, a, m = tied[part], alike[part], m[part]
    out[part] = 1 - np.exp(gammaln(t + 1) - gammaln(t - m + 1) - gammaln(t + a + 1) + gammaln(t + a - m + 1))
    return out
