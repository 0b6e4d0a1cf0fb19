"""TextBody: any transformers text encoder as a body. Legend: B batch, T tokens, D width, C outputs."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Counterpart, Features
from sartor.errors import BadInput, SartorError, one_line
from sartor.pretrained import front, packing, pooling, route, words
from sartor.pretrained.gate import admit

Way = Literal["auto", "mean", "native", "tokens"]
INPUTS = ("input_ids", "token_type_ids")
"""The sequences that a model is called with; others are for reading what it gives."""
DECIDING = ("model_type", "num_attention_heads", "hidden_act", "layer_norm_eps", "position_embedding_type")
"""What of a configuration decides features and cannot be read off the shapes of the weights."""
A_BIT_OF_EVERYTHING = "Don't  CO-OPERATE: naïve Ünïcode, 3.14 € (x_y)\t日本語\u00a0ﬁn 🙂 #tag @me <b>"
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.vocab")


class TextBody(Body):
    """A transformers text model up to what its last linear layer reads.

    native   the architecture's own classifier, its last linear layer taken out
    mean     mean pooling (see pooling.py); only the encoder runs here, the block is written when the body is saved
    tokens   the architecture's own classifier of tokens, its last linear layer taken out; one vector a token

    A pair of texts is one row that is read across both; or, for the layout `sides`, two texts that are read apart, as
    two windows of a row are.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        how: Literal["mean", "native", "tokens"],
        max_length: int,
        layout: str = "row",
    ) -> None:
        super().__init__()
        self.how = how
        self.paired = layout == "sides"
        self.tokenizer = tokenizer
        self.readers = (tokenizer,)
        self.reads = frozenset({"tokens" if how == "tokens" else "text"})
        self.max_length = max_length
        self.config = model.config
        self.place = last_linear(model)
        head = model.get_submodule(self.place)
        self.width: int = head.in_features
        self.heads = {"classifier": head}  # a plain dict: the head is trained as the network's, not the body's
        self.dropout = nn.Identity() if how == "tokens" else nn.Dropout(pooling.head_dropout(model.config))
        if how == "mean":
            self.model = model.base_model
            self.model.pooler = None
        else:
            put(model, self.place, nn.Identity())
            self.model = model
        self.list = block_list(self.model)
        self.first_position = words.first_position(self.model)
        self.few: Batch = words.few_rows(model.config)
        self.words = _name_of(self, model.get_input_embeddings())
        self.room: int = words.longest(model, sys.maxsize)
        self.packs = False
        self.packs = self._agrees(self._packed)
        self.enters = self.packs and how != "native" and self._agrees(self._through_prefix)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`text`, and `text_pair` where there is one, -> token ids cut at `max_length`; or `tokens`, in windows."""
        if self.how == "tokens":
            return words.encode(self.tokenizer, columns["tokens"], min(self.max_length, self.room // 2))
        if self.paired:
            return words.sides(*(self._encoded(columns[side], None) for side in words.paired(columns)))
        return self._encoded(columns["text"], columns.get("text_pair"))

    def _encoded(self, column: Sequence[str], beside: Sequence[str] | None) -> Batch:
        texts, pairs = list(column), None if beside is None else list(beside)
        found = self.tokenizer(texts, pairs, truncation=True, max_length=self.max_length, return_attention_mask=False)
        lengths = torch.tensor([0] + [len(ids) for ids in found["input_ids"]], dtype=torch.long)
        flat = {
            name: torch.tensor([t for ids in values for t in ids], dtype=torch.int32) for name, values in found.items()
        }
        return Batch(rows=torch.arange(len(texts)), offsets=lengths.cumsum(0), sequences=flat)

    def forward(self, batch: Batch) -> Features:
        """(B, D), or (U, D) for tokens. Real tokens only where the model can be packed; in stretches of like length
        otherwise."""
        rows = words.by_window(batch)
        features = self._packed(rows) if self.layout() == "packed" else self._padded(rows)
        features = words.picked(features, batch) if self.how == "tokens" else features
        dropped: Tensor = self.dropout(features)
        return dropped

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs = batch.padded({"input_ids": self.tokenizer.pad_token_id or 0})
        device = next(self.model.parameters()).device
        inputs = {name: values.to(device) for name, values in inputs.items() if name in (*INPUTS, "attention_mask")}
        hidden: Tensor = self.model.base_model(**inputs).last_hidden_state
        return hidden, inputs["attention_mask"].bool()

    def layout(self) -> Literal["packed", "padded"]:
        return "packed" if self.packs and not _on_gpu(self) else "padded"

    def depth(self) -> int:
        return route.frozen_depth(self.blocks(), lambda: self._packed(self.few)) if self.enters else 0

    def prefix(self, batch: Batch, depth: int) -> Tensor:
        batch = words.by_window(batch)
        packed = packing.Packing.of(batch.lengths)
        block = self.blocks()[depth]
        try:
            with route.leaving(block):
                self.model(**self._words(packed, batch.take(packed.order)))
        except route.Reached as reached:
            return batch.arranged(reached.hidden[0, : packed.tokens], packed.order)
        raise AssertionError("the pass never came to the block")

    @contextmanager
    def twice(self) -> Iterator[None]:
        """Padded rows, attention as plain products: neither packed nor fused attention has a second derivative."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        packs, self.packs = self.packs, False
        try:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            self.packs = packs

    def _packed(self, batch: Batch) -> Tensor:
        """(B, D), or (S, D) for tokens, with no padding anywhere."""
        rows, batch = batch, front.before(batch, self.front, self.room)
        packed = packing.Packing.of(batch.lengths, len(self.blocks()) - batch.depth)
        ordered = batch.take(packed.order)
        with self._entering(packed, ordered):
            if self.how == "native":
                with route.unpacking(self.blocks()[-1]):
                    return packed.back(self.model(**self._words(packed, ordered)).logits)
            if self.how == "tokens":
                found: Tensor = self.model(**self._words(packed, ordered)).logits[0, : packed.tokens]
                return rows.arranged(front.own(found, packed, self.front)[0], packed.order)
            hidden = self.model(**self._words(packed, ordered)).last_hidden_state[0, : packed.tokens]  # (S, D)
        hidden, lengths = front.own(hidden, packed, self.front)
        first = hidden[lengths.cumsum(0) - lengths].float()
        means = pooling.row_means(hidden, lengths)
        return packed.back(pooling.pooled(means, first, self.config.layer_norm_eps))

    def _words(self, packed: packing.Packing, ordered: Batch) -> dict[str, Any]:
        sequences = {name: values for name, values in ordered.sequences.items() if name in INPUTS}
        return route.packed_words(packed, sequences, self.first_position + self.front.positions)

    def _entering(self, packed: packing.Packing, ordered: Batch) -> AbstractContextManager[None]:
        if not ordered.depth:
            return nullcontext()
        blocks = self.model.get_submodule(self.list)
        lookup = getattr(self.model.base_model, "embeddings", None)
        hidden = packed.filled(ordered.sequences["hidden"])[None]
        return route.entering(blocks, ordered.depth, hidden, lookup)

    def _padded(self, batch: Batch) -> Tensor:
        """(B, D), or (S, D) for tokens, of rows padded to the longest of a stretch; the stretches are those that
        packing would attend in."""
        rows, batch = batch, front.before(batch, self.front, self.room)
        packed = packing.Packing.of(batch.lengths)
        places = torch.split(torch.arange(len(batch)), [s.rows for s in packed.stretches])
        found = torch.cat([self._padded_stretch(batch.take(packed.order[some])) for some in places])
        return rows.arranged(found, packed.order) if self.how == "tokens" else packed.back(found)

    def _padded_stretch(self, batch: Batch) -> Tensor:
        inputs = batch.padded({"input_ids": self.tokenizer.pad_token_id or 0})
        device = next(self.model.parameters()).device
        inputs = {name: values.to(device) for name, values in inputs.items() if name in (*INPUTS, "attention_mask")}
        if self.front.positions and self.packs:
            start = self.first_position + self.front.positions
            inputs["position_ids"] = torch.arange(start, start + inputs["input_ids"].shape[1], device=device)[None]
        if self.how == "native":
            features: Tensor = self.model(**inputs).logits
            return features
        own = inputs["attention_mask"][:, self.front.tokens :]  # (B, T)
        if self.how == "tokens":
            vectors: Tensor = self.model(**inputs).logits[:, self.front.tokens :]
            return vectors[own.bool()]
        hidden = self.model(**inputs).last_hidden_state[:, self.front.tokens :].float()  # (B, T, D)
        weights = own.float().unsqueeze(-1)  # (B, T, 1)
        means = (hidden * weights).sum(1) / weights.sum(1)
        return pooling.pooled(means, hidden[:, 0], self.config.layer_norm_eps)

    @torch.no_grad()
    def _agrees(self, way: Callable[[Batch], Tensor]) -> bool:
        """Whether another way through the model gives what padding gives, on a few short rows."""
        training = self.model.training
        self.model.eval()
        try:
            return torch.allclose(way(self.few), self._padded(self.few), rtol=1e-3, atol=1e-4)
        except Exception:  # whatever an architecture does not take: a bias of its own, no positions, another signature
            return False
        finally:
            self.model.train(training)

    def _through_prefix(self, batch: Batch) -> Tensor:
        """The packed way, left in the middle and entered there again."""
        half = len(self.blocks()) // 2
        return self._packed(batch.behind(half, self.prefix(batch, half)))

    def linears(self) -> list[str]:
        inside = tuple(f"model.{self.list}.{i}." for i in range(len(self.blocks())))
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and n.startswith(inside)]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.get_submodule(self.list)) if self.list else []

    def counterpart(self) -> Counterpart:
        if self.how == "mean":
            return Counterpart("AutoModel", "model.")
        kind = f"AutoModelFor{'Token' if self.how == 'tokens' else 'Sequence'}Classification"
        return Counterpart(kind, "model.", self.model.base_model_prefix, self.place)

    def facts(self) -> dict[str, Any]:
        """The pooling, what of the configuration decides features, the vocabulary, and what the tokenizer makes of a
        line with a bit of everything: not its file, which every version of the library writes in its own way."""
        shape = {name: getattr(self.config, name, None) for name in DECIDING}
        words = json.dumps(sorted(self.tokenizer.get_vocab().items()))
        hashed = hashlib.sha256(words.encode()).hexdigest()
        return {
            "pooling": self.how,
            **shape,
            "vocabulary": hashed,
            "tried": self.tokenizer(A_BIT_OF_EVERYTHING)["input_ids"],
        }

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """The transformers layout: model, head and tokenizer; `config` says what the outputs mean."""
        settings = copy.deepcopy(self.config)
        for name, value in config.items():
            setattr(settings, name, value)
        model = self._pooled_model(settings) if self.how == "mean" else self._native_model(settings)
        put(model, self.place, copy.deepcopy(head))
        with quiet():
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def _native_model(self, settings: Any) -> Any:
        model = copy.deepcopy(self.model)
        model.config = settings
        model.num_labels = settings.num_labels
        return model

    def _pooled_model(self, settings: Any) -> Any:
        """The same encoder with the pooling block appended, as the architecture's own classification class."""
        settings.num_hidden_layers = settings.num_hidden_layers + 1
        model = _classifier_from(settings, self.how)
        trained = {f"{model.base_model_prefix}.{name}": w for name, w in self.model.state_dict().items()}
        model.load_state_dict(trained, strict=False)
        pooling.write_block(model.base_model.encoder.layer[-1])
        pooling.write_pooler(pooling.dense_before_tanh(model))
        return model


def open_text(folder: Path, way: Way, max_length: int, layout: str = "row", fresh: bool = False) -> TextBody:
    """The text encoder in `folder`. `auto`: mean pooling where the folder says so and its anatomy allows it."""
    admit(folder)
    how: Way = "tokens" if layout == "tokens" else way
    model = _classifier(folder, how, fresh)
    if how == "tokens":
        return TextBody(model, _tokenizer(folder, apart=True), how, words.longest(model, max_length))
    wanted = "mean" if how == "auto" and pooling.says_mean(folder) and pooling.expressible(model.base_model) else how
    if wanted == "mean" and not pooling.expressible(model.base_model):
        kind = type(model.base_model).__name__
        raise BadInput("POOLING", f"{kind} cannot be read by mean pooling", fix="use pooling=native for this model")
    read: Literal["mean", "native"] = "mean" if wanted == "mean" else "native"
    return TextBody(model, _tokenizer(folder), read, words.longest(model, max_length), layout)


def reopen_text(folder: Path, way: Way, max_length: int, layout: str = "row") -> TextBody:
    """The body that `TextBody.save` wrote, for whatever head: `auto` recognises the appended pooling block by its zero
    queries, which is left out where single tokens are read."""
    how: Way = "tokens" if layout == "tokens" else way
    saved = str((admit(folder).get("architectures") or [""])[0])
    if how != "tokens" and saved.endswith("ForTokenClassification"):
        return open_text(folder, way, max_length, layout)
    model = _classifier(folder, how)
    pooled = how != "native" and pooling.expressible(model.base_model) and pooling.drop_block(model)
    if how == "tokens":
        return TextBody(model, _tokenizer(folder, apart=True), how, words.longest(model, max_length))
    read: Literal["mean", "native"] = "mean" if pooled else "native"
    return TextBody(model, _tokenizer(folder), read, words.longest(model, max_length), layout)


def last_linear(model: Any) -> str:
    """The name of the last linear layer outside the base model: the architecture's own output layer."""
    prefix = f"{model.base_model_prefix}."
    outside = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and not n.startswith(prefix)]
    if not outside:
        raise BadInput("MODEL_HEAD", f"{type(model).__name__} has no linear classifier", fix="use another model")
    return str(outside[-1])


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without its progress bars and its notes about newly drawn heads; both are expected here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _kind(how: Way) -> Any:
    """The transformers class whose last linear layer is the head's place."""
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if how == "tokens" else AutoModelForSequenceClassification


def _classifier(folder: Path, how: Way, fresh: bool = False) -> Any:
    from transformers import AutoConfig

    fix = "check that the folder holds a whole text encoder; save it again with save_pretrained"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        packing.register()
        if fresh:
            return _packable(_classifier_from(AutoConfig.from_pretrained(folder), how))
        made = _kind(how).from_pretrained(folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
        return _packable(made)


def _packable(model: Any) -> Any:
    """The model with the attention that takes packed rows, where its architecture lets one choose."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(packing.NAME)
    return model


@contextmanager
def refused(code: str, message: str, fix: str, folder: Path) -> Iterator[None]:
    """Whatever a library raises about a model folder is bad input: it reads what somebody else wrote."""
    try:
        yield
    except (SartorError, MemoryError):
        raise
    except Exception as error:
        said = one_line(f"{type(error).__name__}: {error}")[:300]
        raise BadInput(code, f"{message} ({said})", fix=fix, where=str(folder)) from None


def _classifier_from(config: Any, how: Way) -> Any:
    with quiet():
        return _kind(how).from_config(config, dtype=torch.float32)


def _tokenizer(folder: Path, apart: bool = False) -> Any:
    """`apart`: for tokens that were parted before; byte-level pieces then begin every one of them with a space."""
    from transformers import AutoTokenizer

    fix = "save the tokenizer into the same folder with save_pretrained"
    if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):  # one without words would be made
        raise BadInput("TOKENIZER", "the model folder has no tokenizer", fix=fix, where=str(folder))
    with refused("TOKENIZER", "the tokenizer cannot be opened", fix, folder), quiet():
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if apart and getattr(found, "add_prefix_space", None) is False:
            found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, add_prefix_space=True)
        return found


def block_list(model: Any) -> str:
    """The name of the largest list of modules, the repeated units; empty where there is none."""
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)}
    return max(lists, key=lambda name: sum(p.numel() for p in lists[name].parameters()), default="")


def _name_of(body: nn.Module, module: Any) -> str:
    return str(next(name for name, m in body.named_modules() if m is module))


def _on_gpu(module: nn.Module) -> bool:
    return next(module.parameters()).device.type == "cuda"


def put(model: Any, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, leaf, module)
