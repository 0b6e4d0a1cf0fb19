"""What is measured, in words: names, units, and numbers rounded to what their uncertainty allows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Spread:
    """A measured value with the interval it lies in; low and high are None where only the value is known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        if self.low is None or self.high is None:
            return None
        return abs(self.high - self.low) / 2


@dataclass(frozen=True)
class Quantity:
    """A metric or a cost: its key in the result, its name, its unit, and what to multiply by to get that unit."""

    key: str
    title: str
    short: str
    unit: str = ""
    scale: float = 1.0

    @property
    def within(self) -> str:
        """The title inside a sentence: names and abbreviations keep their capitals."""
        return self.title if self.title[1:2].isupper() else self.title[:1].lower() + self.title[1:]

    def digits(self, spread: Spread, places: int | None = None) -> str:
        """The value in the unit, without the unit, rounded to its uncertainty or to `places` decimals."""
        return number(spread.value * self.scale, self.places(spread) if places is None else places)

    def say(self, spread: Spread | None, places: int | None = None) -> str:
        """The value with its unit, or "not measured"."""
        if spread is None:
            return NOT_MEASURED
        gap = "" if self.unit in ("", "%") else " "
        return f"{self.digits(spread, places)}{gap}{self.unit}"

    def interval(self, spread: Spread | None, places: int | None = None) -> str:
        """`[low, high]` in the unit, or nothing where no interval is known."""
        if spread is None or spread.low is None or spread.high is None:
            return ""
        decimals = self.places(spread) if places is None else places
        return f"[{number(spread.low * self.scale, decimals)}, {number(spread.high * self.scale, decimals)}]"

    def full(self, spread: Spread | None) -> str:
        """Value, unit and interval, where that has a width."""
        return f"{self.say(spread)} {self.interval(spread)}" if spread and spread.half else self.say(spread)

    def places(self, spread: Spread) -> int:
        """Decimals that the interval allows; without one, three significant digits (percent: one decimal)."""
        half = (spread.half or 0.0) * self.scale
        if half > 0:
            return decimals_of(half)
        return 1 if self.unit == "%" else significant(spread.value * self.scale, 3)

    def column_places(self, spreads: Iterable[Spread | None]) -> int | None:
        """One number of decimals for a column of a table: the median of what its cells allow; None for an empty one."""
        found = sorted(self.places(s) for s in spreads if s is not None)
        return found[len(found) // 2] if found else None


_METRICS = (
    Quantity("accuracy", "Accuracy", "Accuracy", "%", 100),
    Quantity("balanced_accuracy", "Balanced accuracy", "Bal. acc.", "%", 100),
    Quantity("macro_f1", "Macro F1", "Macro F1", "%", 100),
    Quantity("micro_f1", "Micro F1", "Micro F1", "%", 100),
    Quantity("f1", "Span F1", "F1", "%", 100),
    Quantity("precision", "Precision", "Precision", "%", 100),
    Quantity("recall", "Recall", "Recall", "%", 100),
    Quantity("map", "Average precision (COCO)", "AP", "%", 100),
    Quantity("ap50", "Average precision at an overlap of 0.5", "AP50", "%", 100),
    Quantity("ap75", "Average precision at an overlap of 0.75", "AP75", "%", 100),
    Quantity("image_ap", "Average precision of single images", "Image AP", "%", 100),
    Quantity("auc", "Area under the ROC curve", "AUC", "%", 100),
    Quantity("average_precision", "Average precision", "Avg. prec.", "%", 100),
    Quantity("ks", "Kolmogorov-Smirnov gap", "KS", "%", 100),
    Quantity("gini", "Gini coefficient", "Gini", "%", 100),
    Quantity("exact_match", "Exact match", "Exact", "%", 100),
    Quantity("wer", "Word error rate", "WER", "%", 100),
    Quantity("cer", "Character error rate", "CER", "%", 100),
    Quantity("log_loss", "Log-loss", "Log-loss"),
    Quantity("mean_loss", "Mean loss of the tasks", "Mean loss"),
    Quantity("brier", "Brier score", "Brier"),
    Quantity("calibration_error", "Calibration error", "Calib. error", "%", 100),
    Quantity("bleu", "BLEU", "BLEU", "", 100),
    Quantity("chrf", "chrF", "chrF", "", 100),
    Quantity("bits_per_byte", "Bits per byte", "Bits/byte"),
    Quantity("perplexity", "Perplexity", "Perplexity"),
    Quantity("rmse", "Root mean squared error", "RMSE"),
    Quantity("mse", "Mean squared error", "MSE"),
    Quantity("mae", "Mean absolute error", "MAE"),
    Quantity("median_absolute_error", "Median absolute error", "Median AE"),
    Quantity("r2", "R²", "R²"),
)
_COSTS = (
    Quantity("latency_ms_p50", "Latency, median", "p50", "ms"),
    Quantity("latency_ms_p99", "Latency, 99th percentile", "p99", "ms"),
    Quantity("throughput_rows_per_s", "Throughput at the best batch", "Speed", "rows/s"),
    Quantity("peak_memory_mb", "Peak memory", "Memory", "MB"),
    Quantity("size_mb", "Size on disk", "Size", "MB"),
    Quantity("train_seconds", "Training time", "Training", "s"),
    Quantity("step_ms", "One update, median", "Update", "ms"),
    Quantity("training_memory_mb", "Peak memory while training", "Training memory", "MB"),
)
_KNOWN = {q.key: q for q in (*_METRICS, *_COSTS)}
COSTS = tuple(q.key for q in _COSTS)
AXES = ("latency_ms_p50", "size_mb", "train_seconds", "peak_memory_mb")
"""The costs that the frontier can be looked at over."""


def quantity(key: str) -> Quantity:
    """The quantity called `key`; one that is not known by name is shown as it is."""
    title = key.replace("_", " ")[:40].capitalize()
    return _KNOWN.get(key) or Quantity(key, title, title)


def lower_is_better(metric: str) -> bool:
    from sartor.predictions import LOWER_IS_BETTER

    return metric in LOWER_IS_BETTER


def spread(value: Any, interval: Any = None) -> Spread | None:
    """A number, or {"value", "low", "high"}, as a `Spread`; None where there is no finite value."""
    low, high = interval if interval else (None, None)
    if isinstance(value, dict):
        low, high, value = value.get("low", low), value.get("high", high), value.get("value")
    found = finite(value)
    return None if found is None else Spread(found, finite(low), finite(high))


def finite(value: Any) -> float | None:
    """`value` as a finite float, or None."""
    if value is None or isinstance(value, str | bool):
        return None
    try:
        made = float(value)
    except (TypeError, ValueError):
        return None
    return made if math.isfinite(made) else None


def decimals_of(half: float) -> int:
    """Decimals for an uncertainty: two significant digits of it up to 3.54, one above (Particle Data Group's rule)."""
    if half <= 0 or not math.isfinite(half):
        return 0
    lead = half / 10 ** math.floor(math.log10(half))
    kept = 1 if lead < 3.55 else 0
    return min(6, max(0, kept - math.floor(math.log10(half))))


def significant(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `value`."""
    return 0 if value == 0 else min(6, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def number(value: float, places: int) -> str:
    """Fixed decimals, thousands separated, a real minus sign, no minus zero."""
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def signed(value: float, places: int) -> str:
    """`number` with its sign."""
    text = number(value, places)
    return text if text.startswith("−") or not text.strip("0.,") else f"+{text}"


def seconds(value: Any) -> str:
    """A duration for people: 12 s, 9 min 48 s, 2 h 5 min."""
    found = finite(value)
    if found is None:
        return NOT_MEASURED
    if found < 10:
        return f"{found:.2g} s" if found else "0 s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")


def count(value: Any) -> str:
    """A whole number with thousands separated, or "not measured"."""
    found = finite(value)
    return NOT_MEASURED if found is None else f"{round(found):,}"
