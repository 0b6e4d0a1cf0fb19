"""Vocabularies learned from training texts alone: pieces of bytes, or single characters; written as one short text.

Pieces are byte pairs (Sennrich et al. 2016, arXiv 1508.07909) over bytes (Radford et al. 2019, GPT-2), so that no text
of any script or any emoji is unknown. A vocabulary is kept as its merges, or its characters, and made again from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SPECIALS = (PAD, END, UNKNOWN)
TALK = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""How a network that is drawn anew reads a conversation: a chat template."""


def learn_pieces(texts: Iterable[str], size: int) -> str:
    """The merges of a vocabulary of at most `size` pieces, the most frequent first, one a line."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return "\n".join(" ".join(pair) for pair in json.loads(made.to_str())["model"]["merges"])


def pieces(merges: str) -> Any:
    """A transformers tokenizer of these merges; it ends every text with `END`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    pairs = [(one, two) for one, _, two in (line.partition(" ") for line in merges.split("\n") if line)]
    words = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(one + two for one, two in pairs)]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, vocabulary[END])])
    return _wrapped(made)


def learn_characters(texts: Iterable[str]) -> str:
    """Every character that occurs, in order."""
    return "".join(sorted(set().union(*map(set, texts))))


def characters(alphabet: str) -> Any:
    """A transformers tokenizer of single characters; others are `UNKNOWN`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {word: place for place, word in enumerate((*SPECIALS, *alphabet))}
    made = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    return _wrapped(made)


def _wrapped(made: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": PAD, "eos_token": END, "unk_token": UNKNOWN}
    found = PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False, **special)
    found.chat_template = TALK
    return found
