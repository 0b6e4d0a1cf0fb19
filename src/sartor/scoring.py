"""How good labels and their probabilities are: every metric as a function of arrays, so that resampling rows is cheap.

Legend: N rows, C labels. `known`, `p` and `chosen` are (N, C): 1 where a row has the label, its probability, 1 where it
was answered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sartor.position.calibration import calibration_error
from sartor.predictions import Floats

Metric = Callable[[Floats, Floats, Floats], float]
FLOOR = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log-loss: what 32-bit outputs can tell apart."""


def _accuracy(known: Floats, p: Floats, chosen: Floats) -> float:
    return float((known.argmax(1) == p.argmax(1)).mean())


def _f1s(known: Floats, p: Floats, chosen: Floats) -> Floats:
    """(C,) each label's F1; 0 for a label that is neither there nor said."""
    hits, there, said = (known * chosen).sum(0), known.sum(0), chosen.sum(0)
    out: Floats = 2 * hits / np.maximum(there + said, 1)
    return out


def _macro_f1(known: Floats, p: Floats, chosen: Floats) -> float:
    return float(_f1s(known, p, chosen).mean())


def _micro_f1(known: Floats, p: Floats, chosen: Floats) -> float:
    return float(2 * (known * chosen).sum() / max(1.0, known.sum() + chosen.sum()))


def _log_loss(known: Floats, p: Floats, chosen: Floats) -> float:
    return float(_log_losses(known, p).mean())


def _log_losses(known: Floats, p: Floats) -> Floats:
    out: Floats = -np.log(np.clip((known * p).sum(1), FLOOR, 1.0))
    return out


def _brier(known: Floats, p: Floats, chosen: Floats) -> float:
    return float(((p - known) ** 2).sum(1).mean())


def _calibration_error(known: Floats, p: Floats, chosen: Floats) -> float:
    return calibration_error(p, known.argmax(1))


def _auc(known: Floats, p: Floats, chosen: Floats) -> float:
    """The share of pairs, one of each label, that are in the right order; ties count half (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    positive = known[:, 1] > 0
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    return float((rankdata(p[:, 1])[positive].sum() - n * (n + 1) / 2) / (n * m))


def _gini(known: Floats, p: Floats, chosen: Floats) -> float:
    """Gini's coefficient of a score, as lenders say it: 2 AUC - 1 (also Somers' D)."""
    return 2 * _auc(known, p, chosen) - 1


def _ks(known: Floats, p: Floats, chosen: Floats) -> float:
    """The largest gap between the distributions of the score in the two classes (Kolmogorov and Smirnov)."""
    hits, alarms, _ = _counted(known[:, 1] > 0, p[:, 1])
    if hits[-1] == 0 or alarms[-1] == 0:
        return float("nan")
    return float(np.abs(hits / hits[-1] - alarms / alarms[-1]).max())


def average_precision(positive: int) -> Metric:
    """The mean of the precisions at each recall of the label at this place; rows of equal score count together."""

    def value(known: Floats, p: Floats, chosen: Floats) -> float:
        hits, alarms, _ = _counted(known[:, positive] > 0, p[:, positive])
        if hits[-1] == 0:
            return float("nan")
        return float((np.diff(hits, prepend=0.0) * hits / (hits + alarms)).sum() / hits[-1])

    return value


def _counted(positive: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each distinct score, from the highest on: positives and others that have at least so much, and the score."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[ends].astype(float)
    return hits, ends + 1 - hits, score[order][ends]


def _exact_match(known: Floats, p: Floats, chosen: Floats) -> float:
    return float((known == chosen).all(1).mean())


def _label_accuracy(known: Floats, p: Floats, chosen: Floats) -> float:
    return float((known == chosen).mean())


def _log_loss_several(known: Floats, p: Floats, chosen: Floats) -> float:
    return float(_log_losses_several(known, p).mean())


def _log_losses_several(known: Floats, p: Floats) -> Floats:
    q = np.clip(p, FLOOR, 1 - FLOOR)
    out: Floats = -(known * np.log(q) + (1 - known) * np.log(1 - q)).mean(1)
    return out


ONE: dict[str, Metric] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
}
TWO: dict[str, Metric] = {
    **ONE,
    "auc": _auc,
    "average_precision": average_precision(1),
    "ks": _ks,
    "gini": _gini,
}
SEVERAL: dict[str, Metric] = {
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "exact_match": _exact_match,
    "label_accuracy": _label_accuracy,
    "log_loss": _log_loss_several,
}
"""name -> (known, probabilities, chosen), each (N, C), -> value; the first is the headline."""
UNDEFINED = frozenset({"auc", "average_precision", "ks", "gini"})
"""Metrics that rows of one label alone do not have."""


def of_two(rarer: int, headline: str) -> dict[str, Metric]:
    """The metrics of two labels, `headline` first; the average precision is that of the label which is rarer."""
    found = {**TWO, "average_precision": average_precision(rarer)}
    return {headline: found[headline], **found}


def items(known: Floats, p: Floats, chosen: Floats, several: bool) -> dict[str, Floats]:
    """Per-row evidence for the metrics that are means over rows."""
    if several:
        exact, right = (known == chosen).all(1).astype(float), (known == chosen).mean(1)
        return {"exact_match": exact, "label_accuracy": right, "log_loss": _log_losses_several(known, p)}
    right = (known.argmax(1) == p.argmax(1)).astype(float)
    return {"accuracy": right, "log_loss": _log_losses(known, p), "brier": ((p - known) ** 2).sum(1)}
