"""A language model drawn anew: GPT-2's architecture (Radford et al. 2019) over the characters, or the pieces of words,
of the training rows. The sizes are those of nanoGPT's settings for a processor and for a GPU (Karpathy 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from sartor.backbone import Backbone, anew
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.recipe import Plan

SEED = 20_190_214
"""Weights that are drawn are the same everywhere: a name and a vocabulary are one network."""
SIZES = {"tiny": (128, 4, 4), "small": (384, 6, 6), "base": (768, 12, 12)}
"""Width, blocks and heads."""
EPOCHS = 20.0


@dataclass(frozen=True, kw_only=True)
class GPT(Backbone):
    """A decoder that learns from these rows alone: every weight moves."""

    reads: ClassVar[frozenset[str]] = frozenset({"text", "messages"})
    layouts: ClassVar[frozenset[str]] = frozenset({"texts"})

    size: Literal["tiny", "small", "base"] = "tiny"
    """0.8, 11 or 85 million weights besides the word table."""
    pieces: int = 0
    """Pieces of words in the vocabulary; 0: single characters."""
    block_size: int = 128
    """Words that it reads at once."""
    dropout: float = 0.0
    learning_rate: float = 3e-3
    """Where the plan has none."""
    words: str = learned("")

    def __post_init__(self) -> None:
        if self.pieces and not 300 <= self.pieces <= 200_000:
            said = f"gpt.pieces is {self.pieces}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 300 and at most 200,000, or 0 for characters")
        if not 2 <= self.block_size <= 8192:
            said = f"gpt.block_size is {self.block_size}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 2 and at most 8,192")
        if not 0 <= self.dropout < 1:
            raise BadInput("VALUE_RANGE", f"gpt.dropout is {self.dropout:g}", fix="give at least 0 and below 1")

    def learn(self, rows: Rows) -> Self:
        from sartor.pretrained.vocabulary import learn_characters, learn_pieces

        texts = [str(text) for name in rows.schema.reading("text") for text in rows.column(name) if text]
        talks = (talk or () for name in rows.schema.reading("messages") for talk in rows.column(name))
        texts += [f"{said['role']}: {said['content']}\nassistant" for talk in talks for said in talk]
        return self.with_settings(words=learn_pieces(texts, self.pieces) if self.pieces else learn_characters(texts))

    def plan(self, plan: Plan) -> Plan:
        return anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.decoder import drawn
        from sartor.pretrained.vocabulary import characters, pieces

        tokenizer = pieces(self.words) if self.pieces else characters(self.words)
        return drawn(tokenizer, self._settings(), None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.decoder import open_decoder

        return open_decoder(folder, self.block_size)

    def _settings(self) -> dict[str, Any]:
        width, blocks, heads = SIZES[self.size]
        shape = {"activation_function": "gelu_pytorch_tanh"}  # GPT-2's own, in one operation
        dropped = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), self.dropout)
        return {"n_embd": width, "n_layer": blocks, "n_head": heads, "n_positions": self.block_size, **shape, **dropped}
