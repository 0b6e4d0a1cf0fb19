"""Quantization after training: weights, and what they are multiplied with, as 8-bit whole numbers.

int8_dynamic   weights per output, inputs by the range of every call (W8A8; the way of ONNX Runtime's dynamic
               quantization)
int8_static    inputs by ranges seen on the user's rows: one step less at every call, wrong outside of what was seen
int8_weight    weights alone: as small, exact in its inputs, no faster

Dettmers et al. 2022 (arXiv 2208.07339) found outliers that make the ranges of inputs too wide in models of billions of
weights; small encoders have few. What is rounded: every linear layer of the blocks and, with `tables`, every word
table, of which a small encoder mostly consists; norms, biases and the head stay in 32 bits. `engine.int8` has the
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from sartor.compressor import Compressor
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.engine.int8 import Activations
    from sartor.network import Network
    from sartor.recipe import Recipe

LARGE_TABLE = 1000
"""Rows of a table from which a quarter of its size is worth having."""


@dataclass(frozen=True, kw_only=True)
class Quantize(Compressor):
    """Linear layers and word tables in 8 bits."""

    last: ClassVar[bool] = True

    scheme: Literal["int8_dynamic", "int8_static", "int8_weight"] = "int8_dynamic"
    tables: bool = True

    def compress(self, net: Network, recipe: Recipe, rows: Rows) -> Self:
        from sartor.engine.calibrate import drawn, spans
        from sartor.engine.int8 import Int8Embedding, Int8Linear
        from sartor.pretrained.text import put

        body: Any = net.body
        names, tables = _linears(net), self._tables(net)
        if not names and not tables:
            fix = "use prune or narrow for this network"
            raise BadInput("QUANTIZE_NONE", "the network has no linear layers and no word table", fix=fix)
        seen = spans(net, drawn(net, recipe.task, rows), names) if self.scheme == "int8_static" else {}
        for name in names:
            put(body, name, Int8Linear.of(body.get_submodule(name), self._activations(), seen.get(name)))
        for name in tables:
            put(body, name, Int8Embedding.of(body.get_submodule(name)))
        return self

    def reshape(self, net: Network) -> None:
        from sartor.engine.int8 import Int8Embedding, Int8Linear
        from sartor.pretrained.text import put

        body: Any = net.body
        for name in _linears(net):
            was = body.get_submodule(name)
            made = Int8Linear(was.out_features, was.in_features, was.bias is not None, self._activations())
            put(body, name, made)
        for name in self._tables(net):
            was = body.get_submodule(name)
            put(body, name, Int8Embedding(was.num_embeddings, was.embedding_dim))

    def facts(self, net: Network) -> dict[str, Any]:
        from sartor.engine.int8 import Int8Embedding, Int8Linear, multiplies_bytes

        inside = list(net.body.modules())
        return {
            "scheme": self.scheme,
            "linear_layers": sum(isinstance(m, Int8Linear) for m in inside),
            "tables": sum(isinstance(m, Int8Embedding) for m in inside),
            "products": "whole numbers (oneDNN)"
            if self.scheme != "int8_weight" and multiplies_bytes()
            else "32 bits, weights spread out at every call",
        }

    def _activations(self) -> Activations:
        found: dict[str, Activations] = {"int8_dynamic": "dynamic", "int8_static": "static", "int8_weight": "none"}
        return found[self.scheme]

    def _tables(self, net: Network) -> list[str]:
        from torch import nn

        if not self.tables:
            return []
        found = [(name, m) for name, m in net.body.named_modules() if isinstance(m, nn.Embedding)]
        return [name for name, m in found if m.num_embeddings >= LARGE_TABLE]


def _linears(net: Network) -> list[str]:
    """Linear layers of the blocks that are still in 32 bits."""
    from torch import nn

    return [name for name in net.body.linears() if isinstance(net.body.get_submodule(name), nn.Linear)]
