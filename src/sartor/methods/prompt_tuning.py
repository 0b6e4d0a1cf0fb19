"""Prompt tuning: virtual tokens before every row, the network frozen (Lester et al. 2021, arXiv 2104.08691).

[P; E(x)] ──► frozen network        P (n, width) moves; rows of the word table, drawn, at the start

The virtual tokens take the first positions and are attended to like any others. What a body reads as a row's mean is
the mean of the row's own tokens; an architecture's own classifier reads what it always reads, as in PEFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class PromptTuning(Method):
    """Only the virtual tokens and the head. It does not fold into a network: what changed is saved.

    The authors' rate, 0.3, is Adafactor's; PEFT's examples have 3e-2 to 3e-3. Not yet swept here.
    """

    learning_rate: ClassVar[float] = 1e-2

    num_virtual_tokens: int = 20
    """A row that is too long for the network with them loses the words before its last."""
    prompt_tuning_init: Literal["SAMPLE_VOCAB", "RANDOM"] = "SAMPLE_VOCAB"
    """From words drawn from the table, the better start (section 3.2), or from N(0, 1) as PEFT has it."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("prompt_tuning", num_virtual_tokens=self.num_virtual_tokens)

    def apply(self, net: Network, steps: int) -> None:
        from sartor.body import Front
        from sartor.pretrained.front import Prompted

        body = net.body
        if not body.words:
            fix = "use a method for any network: lora or bitfit"
            raise BadInput(
                "PROMPT_WORDS", "prompt_tuning puts words before a row's own, and this network reads none", fix=fix
            )
        wrapping.require_room(body, "prompt_tuning", self.num_virtual_tokens)
        table: Any = body.get_submodule(body.words)
        wrapping.replace(body, {body.words: Prompted(table, self._drawn(table.weight))})
        body.front = Front(tokens=self.num_virtual_tokens)
        wrapping.only(net, "prompts")

    def _drawn(self, table: Tensor) -> Tensor:
        import torch

        if self.prompt_tuning_init == "RANDOM":
            return torch.randn(self.num_virtual_tokens, table.shape[1])
        return table.detach()[torch.randint(len(table), (self.num_virtual_tokens,))].float()

    def native(self, net: Network) -> Native:
        from peft import PromptTuningConfig

        size = {"num_layers": len(net.body.blocks()), "token_dim": _width(net), "num_attention_heads": 1}
        count = {"num_virtual_tokens": self.num_virtual_tokens, "num_transformer_submodules": 1}
        made = PromptTuningConfig(**size, **count)
        return Native(made.to_dict(), {}, "base_model.", {f"{net.body.words}.prompts": "prompt_embeddings"})


def _width(net: Network) -> int:
    table: Any = net.body.get_submodule(net.body.words)
    return int(table.prompts.shape[1])
