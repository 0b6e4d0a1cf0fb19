"""Unstructured pruning: single weights become zero. Legend: O outputs, I inputs, X (S, I) what a layer reads.

magnitude   the smallest |W| (Han et al. 2015, arXiv 1506.02626), in each layer, or over all of them (`globally`)
wanda       the smallest |W_ij| · ‖X_j‖ in each output (Sun et al. 2023, arXiv 2306.11695)
sparsegpt   the smallest W_ij² / [H⁻¹]_jj², the rest of its row making up for it, H = XᵀX (Frantar and Alistarh 2023,
            arXiv 2301.00774)

The last two look at the user's rows, block after block, each on what the pruned blocks before it give. Weights stay in
dense matrices: a pruned network is smaller on disk and not faster, and nothing here says otherwise. `2:4` leaves two
of every four weights in a row, which GPUs from Ampere on can use; processors cannot.

`epochs` of distillation follow, in which what is zero stays zero. `gradual` takes weights away on the way instead of
before it, the share rising as 1 - (1 - t)³ over its first two thirds (Zhu and Gupta 2017, arXiv 1710.01878).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from sartor.compressor import Compressor
from sartor.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.recipe import Recipe

COLUMNS = 128
"""Columns whose zeros SparseGPT chooses at once."""
DAMPING = 0.01
"""Of the mean of H's diagonal, added to it."""
RISING = 2 / 3
"""Of a gradual run: after it the share stays, so that what is left settles."""
EVERY = 10
"""Updates between two choices of what is zero in a gradual run."""


@dataclass(frozen=True, kw_only=True)
class Prune(Compressor):
    """Single weights of the blocks' linear layers become zero."""

    amount: float = 0.5
    """Share of the weights that become zero."""
    by: Literal["magnitude", "wanda", "sparsegpt"] = "wanda"
    pattern: Literal["any", "2:4"] = "any"
    globally: bool = False
    """Magnitude: one threshold for all layers."""
    epochs: float = 0.0
    learning_rate: float = 5e-5
    gradual: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.amount < 1:
            said = f"prune.amount is {self.amount:g}: " + ("nothing" if self.amount <= 0 else "everything")
            raise BadInput("PRUNE_AMOUNT", f"{said} would be pruned", fix="give a share between 0 and 1, such as 0.5")
        if self.pattern == "2:4" and self.amount != 0.5:
            raise BadInput("PRUNE_PATTERN", "2:4 leaves one half", fix="leave prune.amount out, or set pattern=any")
        if self.globally and (self.by != "magnitude" or self.pattern == "2:4"):
            fix = "set by=magnitude and leave pattern out, or leave globally out"
            raise BadInput("PRUNE_GLOBALLY", "only magnitudes of any pattern compare over layers", fix=fix)
        if self.gradual and (self.by != "magnitude" or not self.epochs):
            fix = "set by=magnitude and epochs, or leave gradual out"
            raise BadInput("PRUNE_GRADUAL", "weights are taken away gradually by magnitude, during epochs", fix=fix)
        if self.epochs < 0 or not 0 < self.learning_rate < 1:
            fix = "give epochs of at least 0 and a learning_rate between 0 and 1"
            raise BadInput("VALUE_RANGE", "prune.epochs or prune.learning_rate is out of range", fix=fix)

    def compress(self, net: Network, recipe: Recipe, rows: Rows) -> Self:
        from sartor.engine.features import outputs
        from sartor.engine.recover import recover

        layers = _layers(net)
        examples = recipe.task.encode(rows, net.body) if self.epochs else None
        said = outputs(net, examples) if examples is not None else None
        if self.gradual:
            assert examples is not None and said is not None
            steps = _steps(self, recipe, len(examples))
            recover(net, recipe, examples, said, self.epochs, self.learning_rate, self._rising(layers, steps))
            self._zero(layers, self.amount)
            return self
        if self.by == "magnitude":
            self._zero(layers, self.amount)
        else:
            self._by_rows(net, recipe, rows)
        if examples is not None and said is not None:
            recover(net, recipe, examples, said, self.epochs, self.learning_rate, _held(layers))
        return self

    def reshape(self, net: Network) -> None:
        """Its matrices keep their shapes."""

    def facts(self, net: Network) -> dict[str, Any]:
        weights = [layer.weight for layer in _layers(net).values()]
        zero = sum(int((w == 0).sum()) for w in weights)
        return {"by": self.by, "pattern": self.pattern, "zeros": zero / max(1, sum(w.numel() for w in weights))}

    def _zero(self, layers: dict[str, nn.Linear], amount: float) -> None:
        """The smallest weights, here and now."""
        import torch

        with torch.no_grad():
            if self.globally:
                sizes = torch.cat([layer.weight.abs().flatten() for layer in layers.values()])
                bound = sizes.kthvalue(max(1, round(amount * len(sizes)))).values
                for layer in layers.values():
                    layer.weight *= layer.weight.abs() > bound
                return
            for layer in layers.values():
                layer.weight *= self._kept(layer.weight.abs(), amount)

    def _kept(self, scores: Tensor, amount: float, by_row: bool = False) -> Tensor:
        """(O, I) truth: what stays, the highest scores of the matrix, of each row, or of every four in a row."""
        import torch

        groups = scores.reshape(-1, 4) if self.pattern == "2:4" else scores if by_row else scores.reshape(1, -1)
        gone = groups.argsort(dim=1, stable=True)[:, : 2 if self.pattern == "2:4" else round(amount * groups.shape[1])]
        kept = torch.ones_like(groups, dtype=torch.bool).scatter_(1, gone, False)
        return kept.view_as(scores)

    def _by_rows(self, net: Network, recipe: Recipe, rows: Rows) -> None:
        """Block after block, each on what the pruned blocks before it give."""
        from sartor.engine.calibrate import drawn, moments

        examples: Batch = drawn(net, recipe.task, rows)
        layers, inside = _layers(net), {id(m): i for i, block in enumerate(net.body.blocks()) for m in block.modules()}
        for i in range(len(net.body.blocks())):
            mine = [name for name, layer in layers.items() if inside.get(id(layer)) == i]
            seen = moments(net, examples, mine)
            for name in mine:
                self._prune(layers[name], seen[name])

    def _prune(self, layer: nn.Linear, moment: Tensor) -> None:
        import torch

        with torch.no_grad():
            if self.by == "wanda":
                norms = moment.diagonal().sqrt().float()
                layer.weight *= self._kept(layer.weight.abs() * norms, self.amount, by_row=True)
            else:
                layer.weight.copy_(_sparse(layer.weight, moment, lambda scores: self._kept(scores, self.amount)))

    def _rising(self, layers: dict[str, nn.Linear], steps: int) -> Callable[[], None]:
        """What happens behind each of so many updates of a gradual run."""
        state: dict[str, Any] = {"step": 0, "hold": lambda: None}

        def after() -> None:
            state["step"] += 1
            share = min(1.0, state["step"] / max(1.0, RISING * steps))
            if state["step"] % EVERY == 0 or state["step"] == steps:
                self._zero(layers, self.amount * (1 - (1 - share) ** 3))
                state["hold"] = _held(layers)
            state["hold"]()

        return after


def _layers(net: Network) -> dict[str, nn.Linear]:
    from torch import nn

    found = {name: net.body.get_submodule(name) for name in net.body.linears()}
    linear = {name: layer for name, layer in found.items() if isinstance(layer, nn.Linear)}
    if not linear:
        raise BadInput("PRUNE_NONE", "the network's blocks have no linear layers", fix="use quantize for this network")
    return linear


def _held(layers: dict[str, nn.Linear]) -> Callable[[], None]:
    """What keeps at zero the weights that are zero now."""
    import torch

    masks = {name: layer.weight != 0 for name, layer in layers.items()}

    @torch.no_grad()
    def again() -> None:
        for name, layer in layers.items():
            layer.weight *= masks[name]

    return again


def _steps(prune: Prune, recipe: Recipe, rows: int) -> int:
    from sartor.recipe import Plan

    return Plan(num_train_epochs=prune.epochs, min_steps=0, seed=recipe.plan.seed).steps(rows)


def _sparse(weight: Tensor, moment: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
    """(O, I) the weights with zeros where `keep` says so of the scores of a stretch of columns; every zero's error is
    made up for by the columns behind it, in 64 bits."""
    import torch

    w, h = weight.detach().double().clone(), moment.clone()
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h.diagonal().add_(DAMPING * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, w.shape[1], COLUMNS):
        end = min(start + COLUMNS, w.shape[1])
        own = upper[start:end, start:end]
        stays = keep(w[:, start:end] ** 2 / own.diagonal() ** 2)
        errors = torch.zeros_like(w[:, start:end])
        for i in range(end - start):
            column = w[:, start + i]
            errors[:, i] = torch.where(stays[:, i], 0.0, column / own[i, i])
            w[:, start + i : end] -= errors[:, i : i + 1] * own[i, i:]
            w[:, start + i] *= stays[:, i]
        w[:, end:] -= errors @ upper[start:end, end:]
    return w.to(weight.dtype)
