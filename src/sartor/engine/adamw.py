"""AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) that touches only what moved.

A word table has tens of thousands of rows, of which one update reads a few hundred. Every row's weights still follow
AdamW: what a row missed since it was last read is made up when it is read again. While its gradient is zero, its
moments shrink by known factors,

    m_j = beta1^j m        v_j = beta2^j v        w <- w (1 - lr_j wd) - lr_j (m_j / c1_j) / (sqrt(v_j / c2_j) + eps)

so the steps it missed add up to

    m / (sqrt(v) + e) * sum_j a_j      a_j = lr_j (beta1 / sqrt(beta2))^j sqrt(c2_j) / c1_j * prod_{i > j} (1 - lr_i wd)

with e the mean of eps sqrt(c2_j / beta2^j) weighted by the a_j (exact to first order in eps). The sum is over at most
`MEMORY` steps: by then beta1^j is 1e-12.

A gradient may come in 16 bits. It is then widened piece by piece on its way into the update, which also leaves the new
weight in 16 bits where a copy is kept: an update waits for memory, and this moves a third less of it.

Legend: V rows of a table, D width, k rows read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sartor.engine.devices import full, like, local
from sartor.engine.faults import undisturbed

MEMORY = 256
MADE_UP = ("sums", "slack", "logs")
"""By step s: the sum for a row last current at s; the same weighted for its e; the logarithm of all decays up to s."""
PIECE = 1 << 19
"""Numbers of a weight that are updated at a time: few enough that what one pass wrote is near for the next."""
BETAS = (0.9, 0.999)
EPS = 1e-8


Copies = dict[int, tuple[int, Tensor]]
"""id of a weight -> the version of it that was copied, and the copy in 16 bits."""


class AdamW(torch.optim.Optimizer):
    """AdamW over `groups`; `tables` are the weights that may receive a gradient by rows.

    A group's `factor` says how its rate relates to the plan's; whoever sets the rates heeds it. `copies` are kept up
    with the weights whose gradients come in 16 bits."""

    copies: Copies

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float, tables: Iterable[Tensor] = ()) -> None:
        usual = {"lr": lr, "factor": 1.0, "betas": BETAS, "eps": EPS, "weight_decay": 0.0}
        torch.optim.Optimizer.__init__(self, groups, usual)
        self.tables, self.copies = list(tables), {}

    def norm(self) -> float:
        """The length of the whole gradient, and its rows summed up for the step."""
        found = []
        for weight in self._moving():
            if weight.grad.is_sparse:
                weight.grad = weight.grad.coalesce()
            found.append(weight.grad.values() if weight.grad.is_sparse else weight.grad)
        wide = [g for g in found if g.dtype == torch.float32]
        lengths = torch._foreach_norm(wide) if wide else []
        narrow = sum(_square(g) for g in found if g.dtype != torch.float32)
        return math.sqrt(narrow + sum(float(full(n)) ** 2 for n in lengths))

    @torch.no_grad()
    def step(self, closure: None = None, *, shrink: float = 1.0) -> None:  # type: ignore[override]
        """One update by the gradient times `shrink`."""
        scale = torch.tensor(1.0 / shrink) if shrink < 1.0 else None
        for group in self.param_groups:
            moving = [w for w in group["params"] if w.grad is not None]
            for weight in moving:
                self._begin(weight)
            by_rows = [w for w in moving if w.grad.is_sparse]
            for weight in by_rows:
                self._rows(weight, group, scale)
            whole = [w for w in moving if not w.grad.is_sparse]
            for weight in whole:
                if self._table(weight):
                    self._settle(weight, unread=True)
                    self._remember(weight, group)
            for weight in (w for w in whole if w.grad.dtype != torch.float32):
                self._by_pieces(weight, group, scale)
            wide = [w for w in whole if w.grad.dtype == torch.float32]
            self._fused(wide, [w.grad for w in wide], [self.state[w] for w in wide], group, scale)
            for weight in whole:
                if self._table(weight):
                    self.state[weight]["current"].fill_(int(self.state[weight]["step"]))
                    self.state[weight]["read"].fill_(True)

    def read(self, weight: Tensor, rows: Tensor) -> None:
        """Bring `rows` (k,) of a table up to date; called before they are read."""
        if weight in self.state:
            self._catch_up(weight, rows)

    @torch.no_grad()
    def settle(self, unread: bool = True) -> None:
        """Bring the tables up to date, before weights are read as a whole: all rows, or only those read so far.

        A row that was never read only decays, by less than a millionth a step."""
        for table in self.tables:
            if table in self.state:
                self._settle(table, unread)

    def _settle(self, table: Tensor, unread: bool) -> None:
        state, step = self.state[table], int(self.state[table]["step"])
        behind = state["current"] < step
        self._catch_up(table, (behind & state["read"]).nonzero()[:, 0])
        if unread and bool((state["current"] < step).any()):
            logs = state["logs"]
            with undisturbed():
                table.mul_((logs[step] - logs[state["current"]]).exp().float()[:, None])
                state["current"].fill_(step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As it was saved: torch's own loading would turn counts and sums of logarithms into 32-bit numbers."""
        torch.optim.Optimizer.load_state_dict(self, state_dict)
        weights = [w for group in self.param_groups for w in group["params"]]
        for place, kept in state_dict["state"].items():
            weight = weights[place]
            self.state[weight] = {name: like(_laid_out(value, weight), weight) for name, value in kept.items()}

    def _moving(self) -> list[Any]:
        return [w for group in self.param_groups for w in group["params"] if w.grad is not None]

    def _table(self, weight: Tensor) -> bool:
        return any(weight is table for table in self.tables)

    def _begin(self, weight: Tensor) -> None:
        """The state before the first update. A table's moments take memory only where rows are read (calloc)."""
        if weight in self.state:
            return
        state: dict[str, Any] = {"step": torch.tensor(0.0)}
        if self._table(weight):
            shape = tuple(weight.shape)
            state["exp_avg"] = torch.from_numpy(np.zeros(shape, dtype=np.float32))
            state["exp_avg_sq"] = torch.from_numpy(np.zeros(shape, dtype=np.float32))
            state["current"] = torch.zeros(shape[0], dtype=torch.int64)
            state["read"] = torch.zeros(shape[0], dtype=torch.bool)
            state |= {name: torch.zeros(64, dtype=torch.float64) for name in MADE_UP}
        else:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        self.state[weight] = state

    def _remember(self, weight: Tensor, group: dict[str, Any]) -> None:
        """Add this step to what rows have missed that were last current at each of the `MEMORY` steps before it."""
        state, (b1, b2) = self.state[weight], group["betas"]
        step = int(state["step"]) + 1
        if step >= len(state["logs"]):
            for name in MADE_UP:
                state[name] = torch.cat([state[name], torch.zeros_like(state[name])])
        first = max(0, step - MEMORY)
        sums, slack, logs = (state[name].numpy() for name in MADE_UP)
        missed = step - np.arange(first, step)
        size = group["lr"] * math.sqrt(1 - b2**step) / (1 - b1**step) * (b1 / math.sqrt(b2)) ** missed
        decay = 1 - group["lr"] * group["weight_decay"]
        sums[first:step] = sums[first:step] * decay + size
        slack[first:step] = slack[first:step] * decay + size * np.sqrt((1 - b2**step) / b2**missed)
        logs[step] = logs[step - 1] + math.log(decay)

    def _rows(self, weight: Tensor, group: dict[str, Any], scale: Tensor | None) -> None:
        """One update of the rows that have a gradient."""
        grad = weight.grad.coalesce()  # type: ignore[union-attr]
        rows, state = grad.indices()[0], self.state[weight]
        self._catch_up(weight, rows)
        self._remember(weight, group)
        w, m, v = weight[rows], state["exp_avg"][rows], state["exp_avg_sq"][rows]
        part = {"exp_avg": m, "exp_avg_sq": v, "step": state["step"]}
        self._fused([w], [grad.values()], [part], group, scale)
        weight.index_copy_(0, rows, w)
        state["exp_avg"].index_copy_(0, rows, m)
        state["exp_avg_sq"].index_copy_(0, rows, v)
        state["current"][rows], state["read"][rows] = int(state["step"]), True

    def _by_pieces(self, weight: Tensor, group: dict[str, Any], scale: Tensor | None) -> None:
        """One update by a gradient in 16 bits; the copy of the weight, if there is one, is written on the way."""
        state, (_, copy) = self.state[weight], self.copies.get(id(weight), (0, None))
        wide = (weight.detach(), weight.grad, state["exp_avg"], state["exp_avg_sq"])
        narrow = repeat(None) if copy is None else _pieces(copy)
        for w, g, m, v, beside in zip(*map(_pieces, wide), narrow, strict=False):
            part = {"exp_avg": m, "exp_avg_sq": v, "step": state["step"].clone()}  # counted once, below
            self._fused([w], [g.float()], [part], group, scale)
            if beside is not None:
                beside.copy_(w)
        state["step"] += 1
        torch.autograd.graph.increment_version(weight)
        if copy is not None:
            self.copies[id(weight)] = (weight._version, copy)

    def _fused(
        self,
        weights: list[Tensor],
        grads: list[Any],
        states: list[dict[str, Any]],
        group: dict[str, Any],
        scale: Tensor | None,
    ) -> None:
        if not weights:
            return
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [local(w) for w in weights],
            [local(g) for g in grads],
            [local(s["exp_avg"]) for s in states],
            [local(s["exp_avg_sq"]) for s in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
        )
        torch.autograd.graph.increment_version(weights)  # the fused step does not: who keeps a cast must see it

    @torch.no_grad()
    def _catch_up(self, weight: Tensor, rows: Tensor) -> None:
        """What `rows` missed since they were last current; all of it or nothing, whatever signal comes."""
        state = self.state[weight]
        step = int(state["step"])
        rows = rows[state["current"][rows] < step]
        if not len(rows):
            return
        (group,) = [g for g in self.param_groups if any(weight is w for w in g["params"])]
        since, where = torch.unique(state["current"][rows], return_inverse=True)
        sums, decays, second = _missed(since.numpy(), step, state, group["eps"])
        (b1, b2), missed = group["betas"], (step - since).double()

        def column(values: Any) -> Tensor:
            """(k, 1) from a value for each last current step."""
            return torch.as_tensor(values, dtype=torch.float32)[where][:, None]

        m, v = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        moved = m / v.sqrt().add_(column(second)) * column(sums)
        with undisturbed():
            weight.index_copy_(0, rows, weight[rows].mul_(column(decays)).sub_(moved))
            state["exp_avg"].index_copy_(0, rows, m.mul_(column(b1**missed)))
            state["exp_avg_sq"].index_copy_(0, rows, v.mul_(column(b2**missed)))
            state["current"][rows] = step


def _pieces(weight: Tensor) -> tuple[Tensor, ...]:
    return torch.split(weight.view(-1), PIECE)


def _laid_out(value: Tensor, weight: Tensor) -> Tensor:
    """A copy that lies in memory as the weight does (channels last, for convolutions): an update goes through both as
    they lie."""
    last = weight.dim() == value.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return value.clone(memory_format=torch.channels_last if last else torch.contiguous_format)


def _square(narrow: Tensor) -> float:
    """The sum of the squares of a gradient in 16 bits, in 32 bits and piece by piece."""
    wide = (piece.float() for piece in _pieces(narrow))
    return float(torch.stack([torch.dot(piece, piece) for piece in wide]).double().sum())


def _missed(since: Any, step: int, state: dict[str, Tensor], eps: float) -> tuple[Any, Any, Any]:
    """For each last current step: the sum over the steps missed, the product of their decays, the e of the formula."""
    sums, slack, logs = (state[name].numpy() for name in MADE_UP)
    ended = np.exp(logs[step] - logs[np.minimum(since + MEMORY, step)])  # after the last step that was added
    return sums[since] * ended, np.exp(logs[step] - logs[since]), eps * slack[since] / sums[since]
