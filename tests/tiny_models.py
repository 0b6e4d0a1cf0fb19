"""Tiny random encoders in the transformers layout, so that tests of training take seconds and need no download."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch

from text_samples import FILLER, TOPICS

WORDS = [*FILLER, *(word for topic in TOPICS.values() for word in topic)]
WIDTH = 32
POSITIONS = 40
"""How many tokens the tiny models can take."""


def bert(folder: Path, *, says_mean: bool = False) -> Path:
    """Two post-norm layers; weights larger than a fresh model's, so that its answers differ from row to row."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    vocabulary = _wordpieces()
    sizes = _sizes("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=POSITIONS, **sizes)
    _save(folder, BertForSequenceClassification, config, BertTokenizer(vocab=vocabulary))
    if says_mean:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}), "utf-8")
    return folder


def roberta(folder: Path) -> Path:
    """Byte-level pieces, positions that begin behind the padding's, a classifier of two layers."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizer

    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(WORDS * 3, vocab_size=400, special_tokens=special, show_progress=False)
    whole = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in whole["merges"]]
    tokenizer = RobertaTokenizer(vocab=whole["vocab"], merges=merges)
    sizes = _sizes("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = RobertaConfig(
        vocab_size=len(whole["vocab"]), max_position_embeddings=POSITIONS + 2, type_vocab_size=1, **sizes
    )
    _save(folder, RobertaForSequenceClassification, config, tokenizer)
    return folder


def distilbert(folder: Path) -> Path:
    """Other names for everything, and no pooler."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer

    vocabulary = _wordpieces()
    sizes = _sizes("dim", "n_layers", "n_heads", "hidden_dim")
    config = DistilBertConfig(vocab_size=len(vocabulary), max_position_embeddings=POSITIONS, **sizes)
    _save(folder, DistilBertForSequenceClassification, config, DistilBertTokenizer(vocab=vocabulary))
    return folder


def modernbert(folder: Path) -> Path:
    """Rotary positions, every other layer with a window of 8 tokens, norms in front."""
    from transformers import BertTokenizer, ModernBertConfig, ModernBertForSequenceClassification

    vocabulary = _wordpieces()
    sizes = _sizes("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    special = {f"{name}_token_id": i for name, i in (("pad", 0), ("cls", 2), ("bos", 2), ("sep", 3), ("eos", 3))}
    config = ModernBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=POSITIONS,
        local_attention=8,
        global_attn_every_n_layers=2,
        **special,
        **sizes,
    )
    _save(folder, ModernBertForSequenceClassification, config, BertTokenizer(vocab=vocabulary))
    return folder


def _wordpieces() -> dict[str, int]:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *(f"##{c}" for c in letters)]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def _sizes(width: str, layers: str, heads: str, inner: str) -> dict[str, int]:
    return {width: WIDTH, layers: 2, heads: 2, inner: 2 * WIDTH}


def _save(folder: Path, kind: Any, config: Any, tokenizer: Any) -> None:
    from sartor.pretrained.text import quiet

    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(20)
        model = kind(config)
        for name, weight in model.named_parameters():
            if "LayerNorm" not in name and "layer_norm" not in name:
                torch.nn.init.normal_(weight, std=0.2 if weight.ndim > 1 else 0.05)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


NO_PREFIXES = (
    "this PEFT puts prefixes in as past_key_values, which this transformers' BERT no longer takes by that name"
)


def peft_puts_prefixes_into_bert() -> bool:
    from transformers import BertModel

    return "past_key_values" in inspect.signature(BertModel.forward).parameters


def yolos(folder: Path) -> Path:
    """A vision transformer of two layers with seven detection tokens."""
    from transformers import YolosConfig, YolosForObjectDetection

    sizes = _sizes("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    shape = {"image_size": [64, 64], "patch_size": 16, "num_detection_tokens": 7}
    return _detector(folder, YolosForObjectDetection, YolosConfig(**sizes, **shape, num_labels=3))


def detr(folder: Path) -> Path:
    """A trunk of convolutions, one layer that encodes and two that decode six queries."""
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    widths = {"embedding_size": 16, "hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 1, 1]}
    trunk = ResNetConfig(layer_type="basic", out_features=["stage4"], **widths)
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    inside = {"d_model": WIDTH, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "num_queries": 6}
    none = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    config = DetrConfig(backbone_config=trunk, num_labels=3, **layers, **inside, **none)
    return _detector(folder, DetrForObjectDetection, config)


def _detector(folder: Path, kind: Any, config: Any) -> Path:
    """Of images of 64 x 64 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    said = {"image_processor_type": "YolosImageProcessor", "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said), "utf-8")
    return folder
