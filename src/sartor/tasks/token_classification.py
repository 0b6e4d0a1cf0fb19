"""Token classification: the spans in a row of tokens and their types (named entities), tagged in IOB2.

Scored as CoNLL-2003 is (Tjong Kim Sang and De Meulder 2003): a span counts where both its ends and its type are right.

Legend: N rows, B batch, U tokens of all rows, C tags, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.classical.chain import legal
from sartor.classical.tagging import Tagging, counts_of, f1, precision, recall
from sartor.data import tokens as wording
from sartor.data.hints import Hints, called
from sartor.data.inputs import inputs
from sartor.data.tags import OUTSIDE, counted, part_of
from sartor.errors import BadInput
from sartor.part import learned
from sartor.position.calibration import cross_fitted_log_loss
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.scoring import FLOOR
from sartor.task import Task
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows

MOST = 40_000
"""Tokens that the first head is fitted on."""
METRICS: dict[str, Callable[[Floats], float]] = {"f1": f1, "precision": precision, "recall": recall}


class _Tagged(Reading):
    """A column of tokens and one of tags, under the names that the field gives them."""

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        tags = called(columns, wording.TAGS)
        tokens = hints.text[0] if hints.text else called(columns, wording.TOKENS)
        unlike = hints.target is not None and hints.target != tags
        return bool(tags and tokens) and not unlike and hints.kinds.get(str(tags), "tags") == "tags"

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        tokens = hints.text[0] if hints.text else called(columns, wording.TOKENS)
        if tokens is None:
            fix = f"name it with --text, or call it '{wording.TOKENS[0]}'"
            raise BadInput("NO_TOKENS", f"no column of tokens is among: {', '.join(columns)}", fix=fix)
        target = hints.target or called(columns, (*wording.TAGS, "labels"))
        kinds = {tokens: "tokens", **({target: "tags"} if target else {})}
        reasons = {tokens: "a list of tokens in every row", str(target): "a tag for each token"}
        reasons = {name: why for name, why in reasons.items() if name not in hints.kinds}
        group = hints.group or called(columns, ("document", "doc_id", "document_id"))
        kinds |= hints.kinds
        return replace(hints, target=target, text=(tokens,), kinds=kinds, reasons=reasons, group=group)


class _Spans(Telling):
    """Spans, with `start` and `end` counted in tokens, the end not in it."""

    def notes(self, task: Task) -> tuple[str, ...]:
        scheme = "Tags are in IOB2 and stand at the first piece of each token: read them with the strategy `first`."
        if not getattr(task, "crf", False):
            return (scheme,)
        beside = (
            "The transitions of its CRF lie in sartor/chain.safetensors: Sartor reads them; plain transformers does"
        )
        return (scheme, f"{beside} not, and answers with each token's own likeliest tag.")

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """`prediction`: the spans; `tags`: one for each token."""
        found = Tagging(predictions.labels).entities(predictions, rows)
        return [{"prediction": one, "tags": list(tags)} for one, tags in zip(found, predictions.values, strict=True)]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows with a wrong tag, the most probable first: the tokens and both sets of spans."""
        return Tagging(predictions.labels).mistakes(predictions, rows, most)

    def by_label(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """Each type: how many spans there are, how many were said, and how well."""
        return Tagging(predictions.labels).by_type(predictions, rows)


@dataclass(frozen=True, kw_only=True)
class TokenClassification(Task):
    """Which spans there are, and of which type.

    The loss of a row is summed over its tokens, in units of the training rows' mean length: every token weighs the
    same, as every span does in the score. `crf`: whole paths of tags are scored, not single ones (Lample et al. 2016,
    arXiv 1603.01360).
    """

    layout: ClassVar[str] = "tokens"
    reading: ClassVar[Reading] = _Tagged(frozenset({"tags"}))
    telling: ClassVar[Telling] = _Spans("token-classification")
    several: ClassVar[bool] = False

    crf: bool = False
    labels: tuple[str, ...] = learned(())
    """The tags: O, then B and I of every type."""
    mean_length: float = learned(1.0)
    """Tokens in a training row."""

    def metrics(self) -> tuple[str, ...]:
        return (*METRICS, "log_loss")

    def learn(self, rows: Rows) -> Self:
        targets = rows.targets()
        if targets is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        declared = {kind for _, kind in map(part_of, rows.schema.labels) if kind}
        types = sorted({*counted(targets), *declared})
        if not types:
            fix = "add rows with spans, or pass another --target"
            raise BadInput("LABEL_SINGLE", "no row has a span: every tag is O", fix=fix, where=rows.source)
        tags = (OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in "BI"))
        length = sum(len(t or ()) for t in targets) / max(1, len(rows))
        return self.with_settings(labels=tags, mean_length=max(1.0, length))

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        batch = body.encode(inputs(rows, body.reads, body.gaps))
        known = None if rows.targets() is None else torch.from_numpy(self._tagging().known(rows))
        return replace(batch, rows=torch.from_numpy(rows.numbers), targets=known)

    def head(self, body: Body) -> nn.Module:
        import torch
        from torch import nn

        from sartor.engine.chain_head import ChainHead

        head = nn.Linear(body.width, len(self.labels))
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        return ChainHead(head, torch.zeros(len(self.labels) + 1, len(self.labels))) if self.crf else head

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """Logistic regression on single tokens; for `crf` then the transitions, on top of it."""
        import torch
        from torch.nn.functional import one_hot

        from sartor.engine.chain_head import PACE, solve_chain
        from sartor.engine.heads import solve_logistic

        assert batch.targets is not None
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(batch)))
        some = order[: max(1, int((_lengths(batch)[order].cumsum(0) <= MOST).sum()))]
        x, known = features[batch.units(some)], batch.targets[batch.units(some)]
        found = solve_logistic(x, one_hot(known, len(self.labels)).float(), torch.ones(len(x)), seed, None)
        chosen = {"penalty": found.penalty, "held_out_loss": found.held_out_loss}
        if not self.crf:
            head.load_state_dict({"weight": found.weight, "bias": found.bias})
            return chosen
        said = (x @ found.weight.T + found.bias).double().numpy()
        lengths = _lengths(batch)[some].numpy()
        scale, steps = solve_chain(said, known.numpy(), lengths, legal(self.labels), penalty=1.0)
        linear = {"emission.weight": scale * found.weight, "emission.bias": scale * found.bias}
        head.load_state_dict({**linear, "slow": torch.from_numpy(steps).float() / PACE})
        return chosen

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(B,)"""
        import torch
        from torch.nn import functional

        from sartor.engine.chain_head import apart, losses

        assert batch.targets is not None
        targets = batch.targets.to(outputs.device)
        if not self.crf:
            return batch.summed(functional.cross_entropy(outputs, targets, reduction="none")) / self.mean_length
        emissions, steps = apart(outputs, len(self.labels))
        allowed = torch.from_numpy(legal(self.labels)).to(steps)
        return losses(emissions, steps + allowed, targets, _lengths(batch)) / self.mean_length

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """The most probable tags of each row among those that IOB2 allows, and how probable each tag is."""
        import torch

        from sartor.engine.chain_head import apart

        scores = outputs.double()
        if not self.crf:
            return self._tagging().answers(rows, torch.log_softmax(scores, -1).numpy())
        emissions, steps = apart(scores, len(self.labels))
        return self._tagging().answers(rows, emissions.numpy(), steps.numpy())

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """F1 of spans first, then its precision and recall, all over the spans of all rows; log-loss per token.

        Runs are judged by the log-loss behind a temperature: how sure a network sounds is no reason to stop it."""
        counts, losses = self._evidence(predictions, rows)
        found = {name: metric(counts.sum(0)) for name, metric in METRICS.items()}
        assert predictions.probabilities is not None
        each = cross_fitted_log_loss(predictions.probabilities, self._tagging().known(rows))
        judged = _by_row(each, predictions)
        return Scores({**found, "log_loss": float(losses.mean())}, {"log_loss": losses}, judged)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        counts, losses = self._evidence(predictions, rows)
        if name == "log_loss":
            return lambda where: float(losses[where].mean())
        return lambda where: METRICS[name](counts[where].sum(0))

    def describe(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }

    def _evidence(self, predictions: Predictions, rows: Rows) -> tuple[Floats, Floats]:
        """(N, 3) spans that are right, that were said, that there are; (N,) losses whose mean is that of a token."""
        if rows.targets() is None:
            fix = "use `sartor predict` for rows without labels"
            raise BadInput("EVAL_NO_LABELS", "the rows have no labels to score against", fix=fix, where=rows.source)
        known = self._tagging().known(rows)
        assert predictions.probabilities is not None
        each = -np.log(np.clip(predictions.probabilities[np.arange(len(known)), known], FLOOR, 1.0))
        return counts_of(rows.targets() or (), predictions.values), _by_row(each, predictions)

    def _tagging(self) -> Tagging:
        return Tagging(self.labels)


def _by_row(each: Floats, predictions: Predictions) -> Floats:
    """(U,) losses of tokens -> (N,) of rows, whose mean is that of the tokens."""
    assert predictions.offsets is not None
    sums = np.diff(np.append(0.0, np.cumsum(each))[predictions.offsets])
    return np.asarray(sums * len(sums) / max(1, len(each)))


def _lengths(batch: Batch) -> Tensor:
    """(N,) tokens in each row."""
    assert batch.counts is not None
    return batch.counts
