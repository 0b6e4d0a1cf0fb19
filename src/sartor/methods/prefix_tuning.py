"""Prefix tuning: keys and values before every row's own, in every attention (Li and Liang 2021, arXiv 2101.00190).

softmax(q [K; k]^T) [V; v]        K, V (n, width) of every block move, the network is frozen

They begin as what n words drawn from the table give in the frozen network, the authors' best start (section 7.4), and
take the first n positions; the row's own tokens come after them, as in PEFT. There is no network in front of them that
makes them (the authors' reparametrisation).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.body import Body
    from sartor.network import Network
    from sartor.pretrained.anatomy import Attended

PAST = {"past_key_values", "cache"}
"""How a layer of transformers may call the keys and values that it is handed."""


@dataclass(frozen=True, kw_only=True)
class PrefixTuning(Method):
    """Only keys and values, and the head. It does not fold into a network: what changed is saved.

    PEFT's rate, 1e-2; P-tuning v2, the same for encoders, has 5e-3 to 2e-2 (Liu et al. 2022, arXiv 2110.07602). Not yet
    swept here.
    """

    learning_rate: ClassVar[float] = 1e-2

    num_virtual_tokens: int = 20
    """A row that is too long for the network with as many positions taken loses the words before its last."""
    init_weights: Literal["words", "random"] = "words"
    """What drawn words give, or N(0, 1) as PEFT has it."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("prefix_tuning", num_virtual_tokens=self.num_virtual_tokens)

    def apply(self, net: Network, steps: int) -> None:
        import torch

        from sartor.body import Front
        from sartor.pretrained.front import PLACE, Ahead, States

        body, count = net.body, self.num_virtual_tokens
        calls = self._attended(body)
        states = torch.cat([_flat(s, count) for call in calls for s in (call.key, call.value)], 1)
        if self.init_weights == "random":
            states = torch.randn_like(states)
        body.prefixes = States(states)
        for place, call in enumerate(calls):
            _, heads, _, width = call.key.shape
            setattr(call.module, PLACE, Ahead(body.prefixes, place, heads, width))
        body.front = Front(positions=count)
        wrapping.only(net, "prefixes.")

    def _attended(self, body: Body) -> list[Attended]:
        """What every attention sees of a row of drawn words. Raises `BadInput` where there is none, or none to which
        anything can be added."""
        import torch

        from sartor.batch import Batch
        from sartor.pretrained.anatomy import attended

        count = self.num_virtual_tokens
        calls: list[Attended] = []
        if body.words:
            wrapping.require_room(body, "prefix_tuning", count)
            table: Any = body.get_submodule(body.words)
            words = torch.randint(len(table.weight), (count,), dtype=torch.int32)
            row = Batch(
                rows=torch.zeros(1, dtype=torch.long), offsets=torch.tensor([0, count]), sequences={"input_ids": words}
            )
            with torch.no_grad():
                calls = attended(body, row)
        shapes = {call.key.shape for call in calls} | {call.value.shape for call in calls}
        if len(shapes) != 1 or any(call.module is None for call in calls):
            said = "prefix_tuning adds to what every attention sees, and to this network's nothing can be added"
            raise BadInput("PREFIX_ATTENTION", said, fix="use a method for any network: lora or bitfit")
        return calls

    def native(self, net: Network) -> Native | None:
        """PEFT's for a network that takes past keys and values, which is how PEFT puts them in.

        transformers calls them `cache` from 5.24 on; a PEFT that knows only the older name cannot open what is saved.
        """
        from peft import PrefixTuningConfig

        from sartor.pretrained.front import PLACE

        holders = [m for m in net.body.modules() if PLACE in vars(m)]
        if any(not PAST & set(inspect.signature(type(m).forward).parameters) for m in holders):
            return None
        ahead = vars(holders[0])[PLACE]
        size = {"num_layers": len(holders), "num_attention_heads": ahead.heads, "token_dim": ahead.heads * ahead.width}
        count = {"num_virtual_tokens": self.num_virtual_tokens, "num_transformer_submodules": 1}
        made = PrefixTuningConfig(**size, **count)
        return Native(made.to_dict(), {}, "base_model.", {"prefixes.weight": "prompt_embeddings"})


def _flat(states: Tensor, count: int) -> Tensor:
    """(1, h, S, d) of a row of n tokens -> (n, h d)."""
    return states[0, :, :count].transpose(0, 1).reshape(count, -1).float().clone()
