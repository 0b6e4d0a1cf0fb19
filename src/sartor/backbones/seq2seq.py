"""Encoder-decoders: the transformer of Vaswani et al. 2017 (arXiv 1706.03762) in Marian's shape (Junczys-Dowmunt et al.
2018, arXiv 1804.00344), drawn anew over a vocabulary of its own, or any that transformers knows from a folder, such as
opus-mt, BART or T5."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from sartor.backbone import Backbone, anew
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.recipe import Plan

SEED = 20_170_612
"""Weights that are drawn are the same everywhere: a name and a vocabulary are one network."""
SIZES = {"tiny": (128, 2, 4, 512), "small": (256, 3, 8, 512), "base": (512, 6, 8, 2048)}
"""Width, blocks of each stack, heads, width inside a block."""
EPOCHS = 10.0


@dataclass(frozen=True, kw_only=True)
class Seq2Seq(Backbone):
    """A network that reads a text and says another. Without a path its weights are drawn anew, all have to move, and
    its vocabulary is learned from the training rows, both sides together."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    layouts: ClassVar[frozenset[str]] = frozenset({"answers"})

    path: str = ""
    """A folder, or a hub name such as `Helsinki-NLP/opus-mt-de-en`."""
    size: Literal["tiny", "small", "base"] = "tiny"
    """Of a network that is drawn anew: 1, 4 or 44 million weights besides its word table."""
    vocabulary: int = 4000
    """Pieces of words that are learned, of a network that is drawn anew."""
    dropout: float = 0.1
    """Of a network that is drawn anew; a folder says its own."""
    max_length: int = 128
    """Tokens of a text; more are cut off."""
    prefix: str = ""
    """What is put before every source, as T5 wants it: `translate German to English: `."""
    learning_rate: float = 3e-3
    """Of weights that are drawn anew, where the plan has none."""
    merges: str = learned("")

    def __post_init__(self) -> None:
        if not 300 <= self.vocabulary <= 200_000:
            said = f"seq2seq.vocabulary is {self.vocabulary}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 300 and at most 200,000")
        if not 0 <= self.dropout < 1:
            raise BadInput("VALUE_RANGE", f"seq2seq.dropout is {self.dropout:g}", fix="give at least 0 and below 1")
        if not 2 <= self.max_length <= 4096:
            said = f"seq2seq.max_length is {self.max_length}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 2 and at most 4096")

    def origin(self) -> str:
        return self.path

    def learn(self, rows: Rows) -> Self:
        if self.path:
            return self
        from sartor.pretrained.vocabulary import learn_pieces

        names = (*rows.schema.reading("text"), *([rows.schema.target] if rows.schema.target else []))
        texts = (str(text) for name in names for text in rows.column(name) if text)
        return self.with_settings(merges=learn_pieces(texts, self.vocabulary))

    def plan(self, plan: Plan) -> Plan:
        """Its head is a part of it, so that there is none to be solved before."""
        return replace(plan, head_start="random") if self.path else anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.place import model_folder
        from sartor.pretrained.seq2seq import drawn, open_seq2seq
        from sartor.pretrained.vocabulary import pieces

        if self.path:
            return open_seq2seq(model_folder(self.path, self.name), self.max_length, self.prefix, fresh)
        return drawn(pieces(self.merges), self._settings(), self.max_length, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.seq2seq import open_seq2seq

        return open_seq2seq(folder, self.max_length, self.prefix)

    def _settings(self) -> dict[str, Any]:
        width, blocks, heads, inside = SIZES[self.size]
        sides = {"layers": blocks, "attention_heads": heads, "ffn_dim": inside}
        both = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()}
        shape = {"d_model": width, "init_std": width**-0.5, "activation_function": "relu"}
        return {**shape, **both, "dropout": self.dropout, "attention_dropout": 0.0, "activation_dropout": 0.0}
