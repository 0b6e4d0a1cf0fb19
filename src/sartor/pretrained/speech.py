"""SpeechBody: any transformers speech encoder as a body: for heads that read one vector a sound, or one a frame.

Every sound is heard as if it were alone: what stands behind its end in a padded batch is masked, and where a model's
first layers take norms over time they run sound by sound.

Legend: B sounds, S samples of the longest, U frames, D width.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sartor.batch import Batch
from sartor.body import Body, Counterpart, Features
from sartor.data.media import Media, each
from sartor.data.sounds import Samples
from sartor.errors import BadInput
from sartor.pretrained import hearing as hearings
from sartor.pretrained import spectrum
from sartor.pretrained.gate import admit
from sartor.pretrained.hearing import PIECE, Hearing
from sartor.pretrained.perturbation import Perturbation, blanked, blanks, perturbed
from sartor.pretrained.text import block_list, last_linear, put, quiet, refused

KINDS = {"row": "AutoModelForAudioClassification", "frames": "AutoModelForCTC"}
"""What a head reads -> the class of transformers that has a place for it."""
PLACEHOLDER = 2
"""Outputs of a head that will be another."""
OURS = ("length", "blanks")
WRITTEN_INTO = {"projector", "feature_projection"}
"""Layers into whose output models write zeros where rows are padded, which a fused product forbids."""


class SpeechBody(Body):
    """A transformers speech model up to what its last linear layer reads; sounds come as samples, and spectra are made
    here, so that training can change the samples."""

    reads = frozenset({"audio"})

    def __init__(
        self,
        model: Any,
        hearing: Hearing,
        layout: str,
        perturbations: Sequence[Perturbation] = (),
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.hearing, self.how = folder, hearing, layout
        self.perturbations = tuple(perturbations)
        self.place = last_linear(model)
        head = model.get_submodule(self.place)
        self.width: int = head.in_features
        self._heads = {"classifier": head}  # a plain dict: the head is trained as the network's, not the body's
        put(model, self.place, nn.Identity())
        self.model = model
        for written in (model, model.base_model):
            for name in WRITTEN_INTO & set(dict(written.named_children())):
                written.get_submodule(name).register_forward_hook(_own)
        self.list = block_list(model.base_model)
        draw = np.random.default_rng(0)
        self.few = self._batch([draw.standard_normal(n, dtype=np.float32) for n in (4000, 3000)])

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return self._heads

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`audio` -> samples at the model's rate, in pieces of 20 ms, which count as tokens."""
        media: list[Media] = list(columns["audio"])
        return self._batch(list(each(media, self.hearing.samples)))

    def forward(self, batch: Batch) -> Features:
        """(B, D), or (U, D) the frames of all sounds, one sound after the other."""
        place = next(self.model.parameters()).device
        lengths = batch.dense["length"].to(place)
        samples = self._padded(batch).to(place)
        with torch.autocast(place.type, enabled=False):
            values, counts, mask = self._heard(samples, lengths, batch.dense.get("blanks"))
        with self._row_by_row(lengths):
            found: Tensor = self.model(values, attention_mask=mask).logits
        if self.how == "row":
            return found
        return found[torch.arange(found.shape[1], device=place) < counts[:, None]]

    def augment(self, batch: Batch, seed: int) -> Batch:
        if not self.perturbations:
            return batch
        pieces = batch.sequences["samples"].flatten(1)
        sounds = [
            perturbed(pieces[a:b].flatten()[:n].numpy(), self.perturbations, seed, row)
            for a, b, n, row in zip(
                batch.offsets[:-1].tolist(),
                batch.offsets[1:].tolist(),
                batch.dense["length"].tolist(),
                batch.rows.tolist(),
                strict=True,
            )
        ]
        made = self._batch([np.pad(s, (0, max(0, self.hearing.least - len(s)))) for s in sounds])
        rest = {name: values for name, values in batch.dense.items() if name not in OURS}
        dense = {**rest, **made.dense, "blanks": blanks(self.perturbations, seed, batch.rows)}
        return replace(made, rows=batch.rows, dense=dense, targets=batch.targets)

    def linears(self) -> list[str]:
        inside = tuple(f"model.{self._blocks_at()}.{i}." for i in range(len(self.blocks())))
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and n.startswith(inside)]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.get_submodule(self._blocks_at())) if self.list else []

    def counterpart(self) -> Counterpart | None:
        if self.folder is None:
            return None
        return Counterpart(KINDS[self.how], "model.", self.model.base_model_prefix, self.place)

    def facts(self) -> dict[str, Any]:
        """How sounds are heard."""
        return {"hearing": dict(self.hearing.said)}

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """The transformers layout: model, head and feature extractor; `config` says what the outputs mean, and where
        they are characters they are written as a tokenizer too."""
        model = copy.deepcopy(self.model)
        for name, value in config.items():
            setattr(model.config, name, value)
        model.num_labels = model.config.num_labels
        put(model, self.place, copy.deepcopy(head))
        with quiet():
            model.save_pretrained(folder)
        characters = self.how == "frames" and "vocab_size" in config
        self.hearing.save(folder, answers=characters)
        if characters:
            _write_tokenizer(folder, config["label2id"])

    def _blocks_at(self) -> str:
        return f"{self.model.base_model_prefix}.{self.list}"

    def _batch(self, sounds: Sequence[Samples]) -> Batch:
        """Samples of each sound as encoded rows: pieces, the last one filled with silence, and their true length."""
        lengths = torch.tensor([len(s) for s in sounds])
        pieces = -(-lengths // PIECE)
        flat = torch.zeros(int(pieces.sum()), PIECE)
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), pieces.cumsum(0)])
        for sound, at in zip(sounds, offsets.tolist(), strict=False):
            flat.view(-1)[at * PIECE : at * PIECE + len(sound)] = torch.from_numpy(np.ascontiguousarray(sound))
        counts = self._frames(lengths) if self.how == "frames" else None
        rows = torch.arange(len(sounds))
        return Batch(rows, offsets, {"samples": flat}, {"length": lengths}, counts=counts)

    def _padded(self, batch: Batch) -> Tensor:
        """(B, S)"""
        pieces = batch.lengths
        inside = torch.arange(int(pieces.max())) < pieces[:, None]
        out = torch.zeros(*inside.shape, PIECE)
        out[inside] = batch.sequences["samples"]
        return out.flatten(1)

    def _frames(self, lengths: Tensor) -> Tensor:
        """(B,) vectors that come of so many samples."""
        if self.hearing.kind == "spectra":
            lengths = spectrum.stretches(lengths) // self.hearing.stride
        found: Tensor = self.model._get_feat_extract_output_lengths(lengths)
        return found.long().clamp_min(1)

    def _heard(self, samples: Tensor, lengths: Tensor, drawn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What the model reads, how many frames come of each sound, and which places are each sound's."""
        bins = self.hearing.bins
        if self.hearing.kind == "spectra":
            values, own = self.hearing.spectra(samples, lengths)
        else:
            values, own = self.hearing.waves(samples, lengths), lengths
        if drawn is not None:
            values = blanked(values, own, drawn.to(values.device), bins)
        mask = torch.arange(values.shape[1], device=values.device) < own[:, None]
        return values, self._frames(lengths), mask.long()

    @contextmanager
    def _row_by_row(self, lengths: Tensor) -> Iterator[None]:
        """Inside, first layers with a norm over time see every sound without what is padded behind it."""
        first = getattr(self.model.base_model, "feature_extractor", None)
        if first is None or not any(isinstance(m, nn.GroupNorm) for m in first.modules()):
            yield
            return

        def apart(values: Tensor) -> Tensor:
            found = [type(first).forward(first, values[i : i + 1, :n])[0].T for i, n in enumerate(lengths.tolist())]
            return pad_sequence(found, batch_first=True).transpose(1, 2)

        vars(first)["forward"] = apart
        try:
            yield
        finally:
            del vars(first)["forward"]


def _own(module: nn.Module, args: Any, output: Any) -> Any:
    """A copy of the output, or of the first of several."""
    return (output[0].clone(), *output[1:]) if isinstance(output, tuple) else output.clone()


def _write_tokenizer(folder: Path, places: Mapping[str, int]) -> None:
    """The characters as transformers' tokenizer of CTC models has them."""
    (folder / "vocab.json").write_text(json.dumps(dict(places), ensure_ascii=False) + "\n", "utf-8")
    told: dict[str, Any] = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "unk_token": "<unk>"}
    told |= {"word_delimiter_token": "|", "bos_token": None, "eos_token": None, "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def open_speech(
    folder: Path, layout: str, perturbations: Sequence[Perturbation] = (), fresh: bool = False
) -> SpeechBody:
    """The speech model in `folder`, or one of its shape with weights drawn anew."""
    config = admit(folder)
    if config.get("is_encoder_decoder"):
        said = f"'{config.get('model_type')}' writes its answers with a decoder, which is not read yet"
        fix = "use an encoder, such as wav2vec2, hubert, wavlm or wav2vec2-bert"
        raise BadInput("SPEECH_MODEL", said, fix=fix, where=str(folder))
    return SpeechBody(_model(folder, layout, fresh), hearings.of_folder(folder), layout, perturbations, folder)


def drawn(
    settings: Mapping[str, Any], hearing: Hearing, layout: str, perturbations: Sequence[Perturbation], seed: int | None
) -> SpeechBody:
    """A Conformer over spectra, its weights drawn from `seed`, or from torch's generator as it stands."""
    import transformers

    width = hearing.bins * hearing.stride
    rest = {"feature_projection_input_dim": width, "vocab_size": PLACEHOLDER, "layerdrop": 0.0}
    rest |= {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "pad_token_id": 0}
    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        config = transformers.AutoConfig.for_model("wav2vec2-bert", **rest, **settings)
        model = getattr(transformers, KINDS[layout]).from_config(config, dtype=torch.float32)
    return SpeechBody(model, hearing, layout, perturbations)


def _model(folder: Path, layout: str, fresh: bool) -> Any:
    """What a model draws itself in training (masks by numpy's generator, layers left out) is switched off: a run has
    one seed."""
    import transformers

    kind = getattr(transformers, KINDS[layout])
    fix = "check that the folder holds a whole speech encoder; save it again with save_pretrained"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        config = transformers.AutoConfig.from_pretrained(folder)
        config.apply_spec_augment, config.layerdrop = False, 0.0
        config.vocab_size = getattr(config, "vocab_size", None) or PLACEHOLDER
        if fresh:
            return _sound(kind.from_config(config, dtype=torch.float32), folder)
        found = kind.from_pretrained(
            folder, config=config, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
        return _sound(found, folder)


def _sound(model: Any, folder: Path) -> Any:
    """The model. Raises `BadInput` for one that would mix a sound with what is padded behind it."""
    mixing = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    if mixing or not hasattr(model, "_get_feat_extract_output_lengths"):
        said = f"'{model.config.model_type}' takes norms over whole batches, padding too"
        said = said if mixing else f"'{model.config.model_type}' does not say how many frames it makes of a sound"
        fix = "use wav2vec2, hubert, wavlm or wav2vec2-bert"
        raise BadInput("SPEECH_MODEL", said, fix=fix, where=str(folder))
    return model
