"""Rows of texts that are to be said, and tiny random models that say them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sartor.data.hints import Hints
from sartor.data.rows import Rows
from sartor.opening import read_for

THINGS = {"hund": "dog", "katze": "cat", "mann": "man", "frau": "woman", "kind": "child", "vogel": "bird"}
DOES = {"schläft": "sleeps", "läuft": "runs", "singt": "sings", "wartet": "waits"}
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def translated(count: int, seed: int = 0) -> Rows:
    """German of three words, and English."""
    nouns, verbs = list(THINGS), list(DOES)
    picks = torch.randint(0, 10_000, (count, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = [(nouns[a % len(nouns)], verbs[b % len(verbs)]) for a, b in picks]
    table = [{"source": f"Ein {n} {v}.", "target": f"A {THINGS[n]} {DOES[v]}."} for n, v in pairs]
    return read_for(table, Hints(), "translation")[0]


def told(count: int, seed: int = 0) -> Rows:
    """Texts of a few such sentences."""
    rows = translated(3 * count, seed)
    said = list(rows.column("target"))
    return read_for([{"text": " ".join(said[3 * i : 3 * i + 3])} for i in range(count)], Hints(), "causal_lm")[0]


def talked(count: int, seed: int = 0) -> Rows:
    """Conversations: what a word is in English."""
    rows = translated(count, seed)
    table = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in zip(rows.column("source"), rows.column("target"), strict=True)
    ]
    return read_for(table, Hints(), "causal_lm")[0]


def vocabulary(folder: Path, template: str | None = None) -> Any:
    """Pieces of such rows, saved."""
    from sartor.pretrained.vocabulary import learn_pieces, pieces

    rows = translated(60)
    made = pieces(learn_pieces([*rows.column("source"), *rows.column("target")], 320))
    made.chat_template = template
    made.save_pretrained(folder)
    return made


def gpt2(folder: Path, template: str | None = TEMPLATE) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    words = vocabulary(folder, template)
    config = GPT2Config(
        vocab_size=len(words), n_embd=32, n_layer=2, n_head=2, n_positions=48, eos_token_id=1, bos_token_id=1
    )
    return _saved(folder, GPT2LMHeadModel, config)


def llama(folder: Path, template: str | None = None) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    words = vocabulary(folder, template)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = LlamaConfig(
        vocab_size=len(words),
        num_key_value_heads=2,
        max_position_embeddings=64,
        eos_token_id=1,
        bos_token_id=1,
        **sizes,
    )
    return _saved(folder, LlamaForCausalLM, config)


def bart(folder: Path) -> Path:
    from transformers import BartConfig, BartForConditionalGeneration

    words = vocabulary(folder)
    sides = {
        f"{side}_{name}": n
        for side in ("encoder", "decoder")
        for name, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 48))
    }
    special = {
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 1,
        "decoder_start_token_id": 1,
        "forced_eos_token_id": None,
    }
    config = BartConfig(vocab_size=len(words), d_model=32, max_position_embeddings=64, **sides, **special)
    return _saved(folder, BartForConditionalGeneration, config)


def t5(folder: Path) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration

    words = vocabulary(folder)
    config = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return _saved(folder, T5ForConditionalGeneration, config)


def _saved(folder: Path, kind: Any, config: Any) -> Path:
    """Weights larger than a fresh model's, so that what is said differs from row to row."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = kind(config)
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "position" not in name:
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder
