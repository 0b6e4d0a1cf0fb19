"""Matching: what belongs together, by two towers (Bromley et al. 1993; Radford et al. 2021, CLIP, arXiv 2103.00020).

Each side of a pair becomes a vector; what belongs together points the same way. Learned from pairs alone, every other
partner in a batch is a negative, unless it is equal to one of the row's own; or, where a column says how well two sides
match, that number is met by their cosine (Reimers and Gurevych 2019, arXiv 1908.10084).

A query's answer is looked for among all partners of the rows that are asked together.

Legend: N rows, B batch, U = 2 B sides, C size of a vector, D width, Q queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from sartor.classical import retrieval
from sartor.data import checks, pairs
from sartor.data.hints import Hints
from sartor.data.inputs import inputs
from sartor.data.problem import Problem
from sartor.data.rows import Rows, Schema
from sartor.data.split import Split
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body

PAIRED = (("anchor", "positive"), ("query", "positive"), ("query", "passage"), ("query", "document"))
"""Columns of texts that are pairs by their names alone, where nothing is to be predicted."""
SHOWN = (("image", "caption"), ("image", "text"), ("image", "description"))
"""The same of an image and a text."""
KEYS = ("left key", "right key", "group key")
"""`Batch.dense`: (N,) numbers that are equal where what they stand for is."""
SCORE = "score"
"""`Batch.dense`: (N,) how well two sides match, from 0 to 1."""


class _Pairs(Reading):
    """Two columns, and perhaps one that says how well they match."""

    def offers(self, kind: Any) -> bool:
        return False

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        names = {name.strip().casefold() for name in columns}
        known = any(set(pair) <= names for pair in (*PAIRED, *SHOWN)) and not hints.text and not hints.kinds
        return hints.target is None and known and len(names) == 2

    def covers(self, reads: frozenset[str], schema: Schema) -> bool:
        return not reads or pairs.covers(reads, schema)

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        if hints.target is None:
            names = {name.strip().casefold(): name for name in columns}
            found = [pair for pair in PAIRED if set(pair) <= set(names)]
            text = hints.text or (tuple(names[side] for side in found[0]) if found else ())
            said = [names[b] for a, b in SHOWN if {a, b} <= set(names) and not text]
            kinds = {**dict.fromkeys(said, "text"), **hints.kinds}
            reasons = {**dict.fromkeys(said, "what is said of an image"), **hints.reasons}
            return replace(hints, untargeted=True, text=text, kinds=kinds, reasons=reasons)
        if hints.target in hints.kinds:
            return hints
        reasons = {**hints.reasons, hints.target: "how well two sides match"}
        return replace(hints, kinds={**hints.kinds, hints.target: "number"}, reasons=reasons)

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        found = [*pairs.problems(rows), *checks.check(rows, others)]
        for part in others.values():
            found += [problem for problem in pairs.problems(part) if problem.code == "MATCH_EMPTY"]
        empty = any(problem.code == "MATCH_EMPTY" for problem in found)
        kept = [p for p in found if not (empty and p.code in ("DATA_VALUE_EMPTY", "DATA_VALUE_MISSING"))]
        return tuple(sorted(kept, key=lambda p: p.severity != "error"))

    def divide(self, rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
        return pairs.divided(rows, seed, validation, test)


class _Similar(Telling):
    """How similar two sides are, and which partners are nearest."""

    def notes(self, task: Task) -> tuple[str, ...]:
        return ("What it says of a side is its vector, not a label: compare two of them by their cosine.",)

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """`prediction`: the similarity of a row's own two sides, none where one is empty; `matches`: of all second
        sides that were asked together the nearest to its first one."""
        shown = [None if value != value else float(value) for value in predictions.values.tolist()]
        if "nearest" not in predictions.measures:
            return [{"prediction": value} for value in shown]
        name = pairs.sides(rows.schema, rows.source)[1]
        text = {int(n): str(v) for n, v in zip(rows.numbers, rows.columns[name], strict=True)}
        near, nearness = (predictions.measures[each] for each in ("nearest", "nearness"))
        each = [
            [
                {"row": int(n), name: text.get(int(n), ""), "similarity": float(s)}
                for n, s in zip(numbers, similar, strict=True)
                if n == n
            ]
            for numbers, similar in zip(near, nearness, strict=True)
        ]
        return [{"prediction": value, "matches": one} for value, one in zip(shown, each, strict=True)]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows whose partner stands furthest from the first place."""
        if "standing" not in predictions.measures:
            return Telling.mistakes(self, predictions, rows, most)
        standing, _, first = retrieval.queries(predictions)
        one, two = pairs.sides(rows.schema, rows.source)
        text = {int(n): str(v) for n, v in zip(rows.numbers, rows.columns[two], strict=True)}
        rank = retrieval.ranks(standing)
        wrong = [k for k in np.argsort(-rank, kind="stable") if rank[k] > 1][:most]
        return [
            {
                "text": str(rows.columns[one][first[k]]),
                "label": str(rows.columns[two][first[k]]),
                "prediction": text.get(int(predictions.measures["nearest"][first[k], 0]), ""),
                "probability": None,
                "row": int(rows.numbers[first[k]]),
                "line": int(rows.lines[first[k]]),
            }
            for k in wrong
        ]


@dataclass(frozen=True, kw_only=True)
class Matching(Task):
    """Which sides belong together, or how well two of them match where a target column says it.

    group   `together`: rows with one value of --group are partners of each other, and none is a negative of another
    """

    layout: ClassVar[str] = "sides"
    reading: ClassVar[Reading] = _Pairs(frozenset({"number"}))
    telling: ClassVar[Telling] = _Similar("sentence-similarity")

    size: int | None = None
    """Numbers in a vector; none: as many as the body gives."""
    group: Literal["apart", "together"] = "apart"
    scored: bool = learned(False)
    low: float = learned(0.0)
    high: float = learned(1.0)
    """The least and the largest of the scores in the training rows: cosines 0 and 1."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 2:
            raise BadInput("VALUE_RANGE", f"matching.size is {self.size}", fix="give at least 2")

    def metrics(self) -> tuple[str, ...]:
        if self.scored:
            return ("spearman", "pearson", "mse")
        recalls = tuple(f"{way}recall_at_{k}" for way in ("", "back_") for k in (1, 5, 10))
        return ("mrr", *recalls, "median_rank", "back_median_rank", "log_loss")

    def learn(self, rows: Rows) -> Self:
        wrong = next((p for p in pairs.problems(rows)), None)
        if wrong is not None:
            raise BadInput(wrong.code, wrong.message, fix=wrong.fix, where=rows.source)
        if self.group == "together" and rows.schema.group is None:
            said = "rows of one group belong together, and no column names groups"
            raise BadInput("MATCH_GROUP", said, fix="name it with --group", where=rows.source)
        known = _scores(rows)
        if known is None:
            return self.with_settings(scored=False)
        if len(known) == 0 or float(np.ptp(known)) == 0.0:
            said = "every pair has the same score"
            raise BadInput("LABEL_SINGLE", said, fix="pass another --target, or none", where=rows.source)
        return self.with_settings(scored=True, low=float(known.min()), high=float(known.max()))

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        batch = body.encode(inputs(rows, body.reads, body.gaps))
        names = pairs.sides(rows.schema, rows.source)
        dense = {key: _numbers(pairs.keys(rows, name)) for key, name in zip(KEYS, names, strict=False)}
        if self.group == "together" and rows.schema.group is not None:
            dense[KEYS[2]] = _numbers([None if v is None else str(v) for v in rows.columns[rows.schema.group]])
        known = _scores(rows)
        if known is not None:
            dense[SCORE] = torch.from_numpy((known - self.low) / (self.high - self.low)).float()
        return replace(batch, rows=torch.from_numpy(rows.numbers), dense={**batch.dense, **dense})

    def head(self, body: Body) -> nn.Module:
        from sartor.engine.match_head import plain_head

        size = self.size or body.width
        if size > body.width:
            said = f"matching.size is {size}, and the body gives {body.width} numbers"
            raise BadInput("VALUE_RANGE", said, fix=f"give at most {body.width}, or leave it out")
        return plain_head(body.width, size)

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        from sartor.engine.match_head import solve

        found: dict[str, Any] = solve(features, batch, head, self.loss, seed)
        return found

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from sartor.engine.match_head import contrasted, cosines, negatives

        if self.scored:
            return (cosines(outputs) - batch.dense[SCORE].to(outputs.device)) ** 2
        return contrasted(outputs, negatives(*(batch.dense[key] for key in KEYS if key in batch.dense)))

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """(U, C) outputs, the first sides at even places."""
        from torch.nn.functional import normalize

        sides = normalize(outputs.double(), dim=-1).numpy()
        left, right = sides[0::2], sides[1::2]
        return self.told(rows, lambda a, b: left[a] @ right[b].T)

    def told(self, rows: Rows, similar: retrieval.Similar, line: tuple[float, float] | None = None) -> Predictions:
        """What is said by whoever knows how similar any two sides are; for scores `line` is where similarity 0 lies and
        what one more is worth, by default the least score and the range."""
        pool = retrieval.Pool.of(rows, self.group == "together")
        if not self.scored:
            return retrieval.answered(rows, pool, similar)
        at, slope = line or (self.low, self.high - self.low)
        own = np.full(len(rows), np.nan)
        there = np.flatnonzero((pool.left >= 0) & (pool.right >= 0))
        for some in np.array_split(there, max(1, -(-len(there) // retrieval.BLOCK))):
            own[some] = at + slope * similar(some, some).diagonal()
        return Predictions(rows.numbers, own)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Retrieval: the mean reciprocal rank over queries of both directions first, then each direction's recalls and
        median rank; `back` asks with the second side. The evidence is a query's, not a row's.

        Scores: Spearman's rank correlation first, then Pearson's, and the squared error."""
        return self._of_scores(predictions, rows) if self.scored else _of_ranks(predictions, rows)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        if self.scored:
            known, said = _scores(rows), predictions.values.astype(np.float64)
            assert known is not None
            return lambda where: _correlations(said[where], known[where])[name]
        back = name.startswith("back_")
        query, standing = (predictions.measures[f"{'back ' if back else ''}{one}"] for one in ("query", "standing"))
        ranks, weights = retrieval.ranks(standing), _shares(query)
        return lambda where: _median(ranks[where], weights[where])

    def describe(self) -> dict[str, Any]:
        """Nothing: outputs are no labels."""
        return {}

    def _of_scores(self, predictions: Predictions, rows: Rows) -> Scores:
        known, said = _scores(rows), predictions.values.astype(np.float64)
        if known is None:
            fix = "use `sartor predict` for rows without scores"
            raise BadInput("EVAL_NO_LABELS", "the rows have no scores to compare with", fix=fix, where=rows.source)
        if not np.isfinite(said).all():
            at = int(np.flatnonzero(~np.isfinite(said))[0])
            fix = "fill it in, or leave the row out"
            raise BadInput("MATCH_EMPTY", "a pair with an empty side has no score", fix=fix, where=rows.place(at))
        error = (said - known) ** 2
        return Scores(_correlations(said, known), {"mse": error}, _standard(said, known))


def _of_ranks(predictions: Predictions, rows: Rows) -> Scores:
    ahead, back = retrieval.queries(predictions), retrieval.queries(predictions, back=True)
    if not len(ahead[0]) or not len(back[0]):
        fix = "use `sartor predict` for rows without partners"
        raise BadInput("EVAL_NO_LABELS", "no row has both its sides", fix=fix, where=rows.source)
    items = {"mrr": np.concatenate([1 / retrieval.ranks(one[0]) for one in (ahead, back)])}
    for way, one in (("", ahead), ("back_", back)):
        items |= {f"{way}recall_at_{k}": retrieval.recall_at(k, one[0]) for k in (1, 5, 10)}
    items["log_loss"] = np.concatenate([ahead[1], back[1]])
    found = {name: float(each.mean()) for name, each in items.items()}
    medians = {"median_rank": ahead, "back_median_rank": back}
    loss = found.pop("log_loss")
    found |= {name: float(np.median(retrieval.ranks(one[0]))) for name, one in medians.items()}
    return Scores({**found, "log_loss": loss}, items, unit="queries")


def _correlations(said: Floats, known: Floats) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    varied = len(known) > 2 and np.ptp(known) > 0 and np.ptp(said) > 0
    found = {"spearman": spearmanr, "pearson": pearsonr}
    out = {name: float(made(said, known).statistic) if varied else 0.0 for name, made in found.items()}
    return {**out, "mse": float(((said - known) ** 2).mean())}


def _standard(said: Floats, known: Floats) -> Floats:
    """(N,) half the squared differences of standard scores: their mean is 1 - Pearson's correlation."""
    said, known = ((x - x.mean()) / max(float(x.std()), 1e-12) for x in (said, known))
    return np.asarray((said - known) ** 2 / 2)


def _shares(query: Floats) -> Floats:
    """(N,) of each row its share of its query: one over the query's rows; 0 where there is none."""
    there = np.isfinite(query)
    counts = np.bincount(query[there].astype(np.int64), minlength=1)
    return np.where(there, 1 / np.maximum(counts[np.where(there, query, 0).astype(np.int64)], 1), 0.0)


def _median(values: Floats, weights: Floats) -> float:
    """Of weighted values; between the two in the middle where they share it."""
    kept = (weights > 0) & np.isfinite(values)
    if not kept.any():
        return float("nan")
    values, weights = values[kept], weights[kept]
    order = np.argsort(values, kind="stable")
    values, sums = values[order], weights[order].cumsum()
    at = [int(np.searchsorted(sums, sums[-1] / 2 + nudge * 1e-9 * sums[-1])) for nudge in (-1, 1)]
    return float((values[at[0]] + values[min(at[1], len(values) - 1)]) / 2)


def _scores(rows: Rows) -> Floats | None:
    targets = rows.targets()
    return None if targets is None else np.asarray(targets, dtype=np.float64)


def _numbers(keys: list[Any]) -> Tensor:
    """(N,) a number for each key, the same wherever the key is met; an empty one is like no other."""
    import torch

    found = [f"empty {i}" if key is None else f"={key}" for i, key in enumerate(keys)]
    each = [hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in found]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in each])
