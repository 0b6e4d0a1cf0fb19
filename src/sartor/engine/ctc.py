"""Connectionist temporal classification: texts from frames that are not aligned with them (Graves et al. 2006).

    -log p(text | frames) = -log of the summed probability of every path that reads as the text once repeats, then
    blanks are left out

Legend: N rows, U frames of all rows, T frames and L characters of the longest row, C outputs (0: blank), D width.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from sartor.predictions import Floats, Integers

BLANK = 0
LIKELY = math.log(1e-4)
"""Outputs less likely than this extend no text of a beam."""
WORST = 50.0
"""Nats a character that a text counts as at most, such as one for which there are too few frames."""


def losses(outputs: Tensor, counts: Tensor, texts: Tensor) -> Tensor:
    """(N,) of (U, C) outputs, `counts` (N,) of them each row's, and texts (N, L) with -1 behind their ends; 0 for a row
    with fewer frames than its text needs."""
    return _losses(torch.log_softmax(outputs.float(), -1), counts, texts, zero_infinity=True)


def _losses(logs: Tensor, counts: Tensor, texts: Tensor, zero_infinity: bool) -> Tensor:
    padded = pad_sequence(list(torch.split(logs, counts.tolist())))  # (T, N, C)
    lengths = (texts >= 0).sum(1)
    targets = texts.clamp_min(0).to(logs.device)
    return functional.ctc_loss(
        padded, targets, counts, lengths, blank=BLANK, reduction="none", zero_infinity=zero_infinity
    )


def unlikeliness(logs: Tensor, counts: Tensor, texts: Tensor) -> Tensor:
    """(N,) -log p of each row's text, from (U, C) logarithms of probabilities; at most `WORST` a character."""
    found = _losses(logs, counts, texts, zero_infinity=False)
    return torch.minimum(found, WORST * (texts >= 0).sum(1).clamp_min(1).to(found))


def greedy(probabilities: Floats) -> Integers:
    """(T, C) -> the text of the likeliest path."""
    path = probabilities.argmax(1)
    kept = path[np.append(True, path[1:] != path[:-1])] if len(path) else path
    return np.asarray(kept[kept != BLANK], dtype=np.int64)


def beam(probabilities: Floats, width: int) -> Integers:
    """(T, C) -> the likeliest text among the `width` best of every frame, paths summed up (Graves and Jaitly 2014)."""
    logs = np.log(np.maximum(probabilities, 1e-30))
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}  # text -> ends blank, ends in its last
    for frame in logs:
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        likely = np.flatnonzero(frame > LIKELY).tolist()
        for text, (blank, last) in beams.items():
            both = np.logaddexp(blank, last)
            grown[text][0] = np.logaddexp(grown[text][0], both + frame[BLANK])
            if text:
                grown[text][1] = np.logaddexp(grown[text][1], last + frame[text[-1]])
            for c in likely:
                if c != BLANK:
                    more = blank if text and text[-1] == c else both
                    grown[(*text, c)][1] = np.logaddexp(grown[(*text, c)][1], more + frame[c])
        best = sorted(grown.items(), key=lambda item: (-np.logaddexp(item[1][0], item[1][1]), item[0]))[:width]
        beams = {text: (ends[0], ends[1]) for text, ends in best}
    text = max(beams, key=lambda t: (np.logaddexp(beams[t][0], beams[t][1]), t))
    return np.asarray(text, dtype=np.int64)


def fit_head(features: Tensor, counts: Tensor, texts: Tensor, head: nn.Linear, penalty: float, steps: int) -> None:
    """A linear head's optimum on frozen features (U, D), by L-BFGS on the mean loss of a row + penalty |W|^2, over
    standardised features."""
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    x = (features - mean) / scale
    made = nn.Linear(x.shape[1], head.out_features)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    descent = torch.optim.LBFGS(made.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def value() -> Tensor:
        descent.zero_grad()
        loss = losses(made(x), counts, texts).mean() + penalty * made.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        descent.step(value)  # type: ignore[no-untyped-call]
    weight = made.weight.detach() / scale
    head.load_state_dict({"weight": weight, "bias": made.bias.detach() - weight @ mean})
