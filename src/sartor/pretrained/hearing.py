"""Hearing: a sound of any kind -> what a model was trained on, exactly as its `preprocessor_config.json` says.

Two kinds are known: samples as they are, brought to mean 0 and variance 1 (wav2vec 2.0, HuBERT, WavLM and their kin),
and log-mel spectra (wav2vec-BERT, Conformers).

Legend: S samples of a sound, F stretches of a spectrum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sartor.data.media import Media
from sartor.data.sounds import Samples, opened
from sartor.errors import BadInput
from sartor.pretrained import spectrum
from sartor.pretrained.gate import read_json

FILE = "preprocessor_config.json"
SPECTRA, WAVES = "SeamlessM4TFeatureExtractor", "Wav2Vec2FeatureExtractor"
PROCESSORS = {SPECTRA: "Wav2Vec2BertProcessor", WAVES: "Wav2Vec2Processor"}
PIECE = 320
"""Samples that count as one token: 20 ms at 16,000 a second, what most models make one vector of."""


@dataclass(frozen=True)
class Hearing:
    """Sounds at `rate` samples a second, as samples, or as spectra of `bins`, `stride` of them side by side.

    even   samples of mean 0 and variance 1
    said   the configuration it came from
    """

    kind: Literal["waves", "spectra"]
    rate: int
    bins: int = 0
    stride: int = 1
    even: bool = True
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def least(self) -> int:
        """Samples of which something can be made; shorter sounds get silence behind them."""
        return spectrum.STRETCH + (self.stride - 1) * spectrum.STEP

    def samples(self, media: Media) -> Samples:
        """(S,) at this rate."""
        found = opened(media, self.rate)
        return np.pad(found, (0, max(0, self.least - len(found))))

    def spectra(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S), (B,) samples -> (B, U, stride x bins) spectra and (B,) how many of them are each sound's."""
        counts = spectrum.stretches(lengths)
        found = spectrum.evened(spectrum.log_mel(samples, self.bins, self.rate), counts)
        whole = found.shape[1] // self.stride
        return found[:, : whole * self.stride].reshape(len(found), whole, -1), counts // self.stride

    def waves(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """(B, S) of mean 0 and variance 1 over each sound's own samples, where the model wants it so; 0 behind them."""
        if not self.even:
            return samples
        inside = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        moved = (samples - samples.sum(1, keepdim=True) / lengths[:, None]) * inside
        return moved / (moved.square().sum(1, keepdim=True) / lengths[:, None] + 1e-7).sqrt()

    def save(self, folder: Path, answers: bool) -> None:
        """Its configuration; `answers`: what the model says is text, which a processor reads."""
        said = dict(self.said) | ({"processor_class": PROCESSORS[self._extractor()]} if answers else {})
        (folder / FILE).write_text(json.dumps(said, indent=1) + "\n", "utf-8")

    def _extractor(self) -> str:
        return SPECTRA if self.kind == "spectra" else WAVES


def plain() -> Hearing:
    """What a network that is drawn anew hears: 80 bins every 10 ms, two of them side by side, at 16,000 a second."""
    said = {"feature_extractor_type": SPECTRA, "feature_size": 80, "num_mel_bins": 80, "padding_side": "right"}
    return heard(said | {"padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 16_000, "stride": 2})


def of_folder(folder: Path) -> Hearing:
    """The hearing that a model's folder asks for. Raises `BadInput` for a folder that says nothing of it."""
    if not (folder / FILE).is_file():
        fix = "save the feature extractor into the same folder with save_pretrained"
        raise BadInput("SPEECH_PROCESSOR", f"the model folder has no {FILE}", fix=fix, where=str(folder))
    try:
        return heard(read_json(folder / FILE))
    except (TypeError, ValueError, KeyError):
        fix = f"use a model whose feature extractor is {WAVES} or {SPECTRA}"
        said = f"{FILE} describes no way of hearing that is known"
        raise BadInput("SPEECH_PROCESSOR", said, fix=fix, where=str(folder)) from None


def heard(said: Mapping[str, Any]) -> Hearing:
    """The hearing of a feature extractor's configuration."""
    kind, rate = str(said["feature_extractor_type"]), int(said.get("sampling_rate", 16_000))
    if kind == SPECTRA:
        return Hearing("spectra", rate, int(said.get("num_mel_bins", 80)), int(said.get("stride", 2)), said=said)
    if kind == WAVES:
        return Hearing("waves", rate, even=bool(said.get("do_normalize", True)), said=said)
    raise ValueError(kind)
