"""Made-up results in the shape of `sartor position`'s, for looking at and for testing the renderers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Dict = dict[str, Any]
BACKBONE = "minilm + "


def spread(value: float, share: float) -> Dict:
    return {"value": value, "low": value * (1 - share), "high": value * (1 + share * 1.3)}


def costs(p50: float, size: float, train: float, memory: float, trained: bool = True) -> Dict:
    made = {
        "latency_ms_p50": spread(p50, 0.04),
        "latency_ms_p99": spread(p50 * 1.9, 0.15),
        "throughput_rows_per_s": spread(2400 / p50, 0.03),
        "best_batch": 64,
        "peak_memory_mb": spread(memory, 0.01),
        "size_mb": {"value": size, "low": size, "high": size},
    }
    return made | ({"train_seconds": spread(train, 0.05)} if trained else {})


def curve(rng: np.random.Generator, start: float, end: float, steps: int, seconds: float) -> list[Dict]:
    looks = max(2, steps // 40)
    made = []
    for k in range(1, looks + 1):
        at = k * steps / looks
        loss = end + (start - end) * math.exp(-3.2 * at / 400) + rng.normal(0, 0.008)
        made.append({"step": round(at), "seconds": seconds * k / looks, "log_loss": loss, "accuracy": 1 - loss / 3.4})
    return made


def candidate(name: str, family: str, accuracy: float | None, **more: Any) -> Dict:
    half = 0.0 if accuracy is None else 1.96 * math.sqrt(max(accuracy * (1 - accuracy), 1e-6) / 1200)
    metrics = (
        {}
        if accuracy is None
        else {
            "accuracy": accuracy,
            "macro_f1": accuracy - 0.013,
            "log_loss": (1 - accuracy) * 3.1 + 0.04,
            "calibration_error": 0.012 + (1 - accuracy) / 9,
        }
    )
    intervals = {} if accuracy is None else {"accuracy": [accuracy - half * 1.05, min(1.0, accuracy + half * 0.95)]}
    made: Dict = {"name": name, "family": family, "status": "finished", "reason": None, "metrics": metrics}
    made |= {"recipe": {"plan": {"seed": 0}} if " + " in name else None, "intervals": intervals, "costs": {}}
    made |= {"against_best": None, "repeats": [], "frontier": False, "tied": False, "dominated_by": None, "curve": []}
    return made | more


def against(difference: float, half: float, p: float, verdict: str) -> Dict:
    low, high = difference - half, difference + half
    return {"metric": "accuracy", "difference": difference, "low": low, "high": high, "p": p, "verdict": verdict}


def raced(
    name: str, family: str, accuracy: float, size: float, train: float, difference: float, verdict: str, **more: Any
) -> Dict:
    """A network that was raced; `difference` against the best, in shares."""
    rng = np.random.default_rng(len(name) * 97 + round(train))
    loss = (1 - accuracy) * 3.1 + 0.04
    steps = more.pop("steps", 400)
    p50 = more.pop("p50", 4.1 + rng.uniform(-0.15, 0.15))
    line = curve(rng, 1.15 + rng.uniform(-0.1, 0.1), loss, steps, train)
    row = (
        None
        if verdict == "best"
        else against(difference, 0.011 + rng.uniform(0, 0.003), 0.5 if verdict == "tied" else 0.002, verdict)
    )
    memory = 410 + train * 0.7
    return candidate(
        BACKBONE + name, family, accuracy, costs=costs(p50, size, train, memory), curve=line, against_best=row, **more
    )


def candidates() -> list[Dict]:
    best = BACKBONE + "lora:r=16 @0.0005"
    dropped = {"status": "eliminated", "steps": 120}
    return [
        candidate(
            "majority",
            "baseline",
            0.2192,
            costs=costs(0.012, 0.01, 0.02, 96),
            frontier=True,
            against_best=against(-0.712, 0.024, 1e-9, "worse"),
        ),
        candidate(
            "tfidf",
            "baseline",
            0.8717,
            costs=costs(0.62, 3.4, 11.3, 178),
            frontier=True,
            against_best=against(-0.0592, 0.0139, 1e-7, "worse"),
        ),
        candidate(
            "embedding_knn:k=15",
            "baseline",
            0.8458,
            costs=costs(4.6, 98.1, 41.0, 520),
            dominated_by="tfidf",
            against_best=against(-0.085, 0.016, 1e-8, "worse"),
        ),
        raced("probe", "probe", 0.9083, 87.4, 43.0, -0.0225, "worse", frontier=True, p50=3.72, dominated_by=None),
        raced(
            "lora:r=16 @0.0005",
            "lora",
            0.9308,
            90.2,
            131.0,
            0.0,
            "best",
            frontier=True,
            tied=True,
            repeats=[0.9308, 0.9283, 0.9292],
            p50=3.98,
        ),
        raced(
            "lora:r=8 @0.0005",
            "lora",
            0.9267,
            88.6,
            127.0,
            -0.0042,
            "tied",
            tied=True,
            repeats=[0.9267, 0.9275, 0.925],
            p50=4.12,
            dominated_by=best,
        ),
        raced("lora:r=16 @0.0002", "lora", 0.9192, 90.2, 66.0, -0.0117, "worse", dominated_by=best),
        raced(
            "lora:r=4 @0.0002",
            "lora",
            0.8892,
            87.9,
            31.0,
            -0.0417,
            "worse",
            reason="log-loss 0.062 above the best at rung 1 (p = 0.004)",
            **dropped,
        ),
        raced(
            "full @5e-05",
            "full",
            0.9258,
            90.9,
            268.0,
            -0.005,
            "tied",
            tied=True,
            repeats=[0.9258, 0.9233],
            dominated_by=best,
            p50=4.31,
        ),
        raced("full @2e-05", "full", 0.9108, 90.9, 139.0, -0.02, "worse", dominated_by=best, p50=4.35),
        raced(
            "full @0.0003",
            "full",
            0.8642,
            90.9,
            77.0,
            -0.0667,
            "worse",
            reason="log-loss 0.121 above the best at rung 1 (p < 0.001)",
            **dropped,
        ),
        candidate(
            BACKBONE + "full @0.001",
            "full",
            None,
            status="failed",
            reason="the loss became NaN at step 37; nothing is kept of this candidate",
        ),
        candidate(
            "encoder:path=models/e5-large + lora:r=16 @0.0005",
            "lora",
            None,
            status="over limit",
            reason="p50 was 58.3 ms, the limit is 30 ms; not trained",
            costs=costs(58.3, 1270.0, 0, 2100, trained=False),
        ),
        candidate(
            BACKBONE + "bitfit @0.001", "bitfit", None, status="out of time", reason="the budget ended before its turn"
        ),
    ]


LABELS = ["numpy", "pandas", "scipy", "sklearn", "torch", "transformers"]
TEXTS = [
    "Return a new array of given shape and type, filled with zeros, without touching the entries of the border.",
    "Compute the pairwise distances between the observations and return them as a condensed matrix.",
    "Split an array into multiple sub-arrays along the first axis; raises if the division is not exact.",
    "Fit the model to the data and return the transformed result, keeping the index of the frame where there is one.",
    "Apply the function to every element of the tensor, in place, under no-grad.",
]


def confusion(labels: list[str], rows: int, accuracy: float, seed: int = 0) -> Dict:
    rng = np.random.default_rng(seed)
    n = len(labels)
    counts = np.zeros((n, n), dtype=int)
    sizes = rng.dirichlet(np.full(n, 6.0)) * rows
    for true in range(n):
        near = rng.dirichlet(np.full(n, 0.25))
        near[true] = 0
        share = near / near.sum() * (1 - accuracy)
        share[true] = accuracy
        counts[true] = rng.multinomial(max(3, round(sizes[true])), share)
    return {"labels": labels, "counts": counts.tolist()}


def wrong(labels: list[str], n: int = 12) -> list[Dict]:
    made = []
    for k in range(n):
        pair = (labels[k % len(labels)], labels[(k + 1 + k // 6) % len(labels)])
        row: Dict = {
            "text": TEXTS[k % len(TEXTS)],
            "label": pair[0],
            "prediction": pair[1],
        }
        made.append(row | {"probability": 0.994 - 0.021 * k, "row": 311 + 97 * k, "line": 313 + 97 * k})
    return made


def position() -> Dict:
    """Fourteen candidates of four families and more, six classes."""
    shares = [0.2192, 0.2004, 0.1778, 0.1611, 0.1333, 0.1082]
    test = {"accuracy": {"value": 0.9258, "low": 0.9097, "high": 0.9393, "n": 1200, "level": 0.95, "method": "Wilson"}}
    test |= {
        "log_loss": {"value": 0.252, "low": 0.221, "high": 0.285},
        "macro_f1": {"value": 0.9141, "low": 0.897, "high": 0.929},
    }
    why = (
        "It is the cheapest of three candidates that 1,200 validation rows cannot tell apart, and gains 2.2 points "
        "[1.0, 3.5] over the frozen encoder with a linear head for 3.0 times its training time."
    )
    pick = {
        "name": BACKBONE + "lora:r=16 @0.0005",
        "family": "lora",
        "bundle": "runs/docstrings/bundle",
        "why": why,
        "test": test,
    }
    pick |= {
        "metrics": {"accuracy": 0.9308, "macro_f1": 0.9178},
        "confusion": confusion(LABELS, 1200, 0.926),
        "wrong": wrong(LABELS),
    }
    found = candidates()
    return {
        "pick": pick,
        "candidates": found,
        "frontier": [c["name"] for c in found if c["frontier"]],
        "tied": [c["name"] for c in found if c["tied"]],
        "headline": "accuracy",
        "race": race(),
        "data": data(LABELS, shares),
        "warnings": ["14 texts stand twice with different labels (first: docstrings.csv:412 and 2,077)"],
        "limits": {"max_latency_ms": 30},
        "budget_seconds": 600,
        "seconds": 588.1,
        "complete": True,
        "stages": stages(),
        "environment": environment(),
        "measured": measured(),
        "command": "sartor position example:docstrings --budget 10m --max-latency-ms 30 --out runs/docs",
        "task": "classification",
        "seed": 0,
    }


def race() -> Dict:
    raced_names = [c["name"] for c in candidates() if c["curve"]]
    out = [n for n in raced_names if n.endswith(("r=4 @0.0002", "full @0.0003"))]
    alive = [n for n in raced_names if n not in out]
    drops = [{"name": n, "reason": "log-loss 0.062 above the best (p = 0.004)"} for n in out]
    return {
        "rungs": [
            {"rung": 1, "steps": 120, "alive": alive, "dropped": drops},
            {"rung": 2, "steps": 240, "alive": alive, "dropped": []},
            {"rung": 3, "steps": 400, "alive": alive, "dropped": []},
        ]
    }


def data(labels: list[str], shares: list[float], rows: int = 6000) -> Dict:
    classes = [{"label": label, "rows": round(share * rows)} for label, share in zip(labels, shares, strict=True)]
    made: Dict = {
        "source": "example:docstrings",
        "rows": rows,
        "target": "package",
        "inputs": ["text"],
        "classes": classes,
    }
    made |= {
        "parts": {"train": rows * 3 // 5, "validation": rows // 5, "test": rows // 5},
        "how": "stratified by label, seed 0",
    }
    return made | {"fingerprint": "9f2c4e1ab07d55c3" * 4, "resolution": 0.0121, "truncated_share": 0.0132}


def stages() -> list[Dict]:
    times = {"measure costs": 31.2, "floor": 55.0, "triage": 44.1, "race": 301.9, "confirm": 128.7, "verdict": 27.2}
    return [{"name": name, "seconds": value} for name, value in times.items()]


def environment() -> Dict:
    return {
        "processor": "AMD EPYC 7B13",
        "cores": 2,
        "threads": 2,
        "memory_gb": 7.7,
        "precision": "fp32",
        "python": "3.11.7",
        "torch": "2.13.0",
        "transformers": "5.20.0",
        "peft": "0.20.0",
        "sartor": "0.1.0",
        "device": "cpu",
    }


def measured() -> list[Dict]:
    return [
        {"what": "quality", "how": "on the 1,200 validation rows; intervals by 2,000 paired bootstrap draws of rows"},
        {
            "what": "test score",
            "how": "the pick alone, once, on 1,200 rows that no choice was made on; Wilson interval",
        },
        {
            "what": "latency p50, p99",
            "how": "batch of one, 300 of your own rows, interleaved with a fixed reference workload, 5 rounds",
        },
        {"what": "throughput", "how": "best of batch 8, 16, 32, 64, 128 on your own rows"},
        {"what": "peak memory", "how": "largest resident size of a fresh process that loads the bundle and predicts"},
        {"what": "size", "how": "bytes of every file of the bundle"},
    ]


def many_classes() -> Dict:
    """77 classes, as in a banking assistant."""
    verbs = ["card", "transfer", "top_up", "cash", "refund", "identity", "exchange"]
    nouns = [
        "arrival",
        "declined",
        "pending",
        "fee",
        "limit",
        "lost",
        "not_recognised",
        "wrong_amount",
        "linking",
        "swallowed",
        "delivery_estimate",
    ]
    labels = [f"{v}_{n}" for v in verbs for n in nouns]
    rng = np.random.default_rng(4)
    shares = np.sort(rng.dirichlet(np.full(77, 5.0)))[::-1].tolist()
    made = position()
    made["pick"] |= {"confusion": confusion(labels, 3080, 0.9, 3), "wrong": wrong(labels, 20)}
    made["data"] = data(labels, shares, 13083) | {"source": "banking77/train.csv", "target": "intent"}
    return made


def regression() -> Dict:
    """A number to predict; lower is better."""
    made = position()
    made |= {"headline": "rmse", "task": "regression", "race": {"rungs": []}}
    for k, c in enumerate(made["candidates"]):
        if c["metrics"]:
            value = 2.0 + (0.94 - c["metrics"]["accuracy"]) * 19
            c["metrics"] = {"rmse": value, "mae": value * 0.74, "r2": 1 - (value / 6.1) ** 2}
            c["intervals"] = {"rmse": [value * 0.95, value * 1.06]}
            if c["against_best"]:
                c["against_best"] = {
                    "metric": "rmse",
                    "difference": value - 2.17,
                    "low": value - 2.3,
                    "high": value - 2.0,
                    "p": 0.01 * k,
                    "verdict": "worse",
                }
            c["repeats"] = []
            for point in c["curve"]:
                point["rmse"] = point.pop("log_loss") * 4
                point.pop("accuracy")
    rows = [
        {
            "text": TEXTS[k % 5],
            "label": 31.5 - k,
            "prediction": 18.25 + k * 1.7,
            "probability": None,
            "row": 17 * k,
            "line": 17 * k + 2,
        }
        for k in range(8)
    ]
    test = {"rmse": {"value": 2.244, "low": 2.11, "high": 2.391, "n": 1200, "level": 0.95, "method": "bootstrap"}}
    made["pick"] |= {"confusion": None, "wrong": rows, "test": test, "metrics": {"rmse": 2.17}}
    made["data"] |= {"classes": [], "resolution": 0.08, "target": "price"}
    return made


def interrupted() -> Dict:
    """Stopped after a moment: almost nothing is known."""
    found = [
        candidate("majority", "baseline", 0.2192),
        candidate(BACKBONE + "probe", "probe", None, status="out of time", reason="interrupted"),
        candidate(BACKBONE + "lora:r=16", "lora", None, status="out of time", reason="interrupted"),
    ]
    made: Dict = {
        "pick": None,
        "candidates": found,
        "frontier": [],
        "tied": [],
        "headline": "accuracy",
        "race": None,
        "data": {"source": "reviews.csv", "rows": 900},
    }
    return made | {
        "warnings": [],
        "budget_seconds": 600,
        "seconds": 8.4,
        "complete": False,
        "command": "sartor position reviews.csv --target stars",
    }


HOSTILE = [
    "<script>alert(1)</script>",
    '"onmouseover="alert(2)" x="</svg>',
    "</script><img src=x onerror=alert(3)>",
    "javascript:alert(4)",
    "](http://evil.example) <b>raw</b>",
    "line\nkey: injected\n---\n",
    "\u202etxt.exe\u200b",
    "p\u0430ypal",
    "paypal",
    "\x1b]52;c;ZXZpbA==\x07\x1b[2J",
    "{{7*7}} {% raw %} ${7*7}",
    "=HYPERLINK(1)",
    "\ud800 lone surrogate",
    "x" * 1_000_000,
]


def hostile() -> Dict:
    """Every string that a user's data could carry is an attack."""
    made = position()
    n = len(HOSTILE)
    made["data"] |= {
        "source": HOSTILE[0] + "\n-rf.csv",
        "target": HOSTILE[1],
        "inputs": [HOSTILE[2]],
        "classes": [{"label": h, "rows": 100} for h in HOSTILE],
    }
    rows = [
        {"text": h, "label": h, "prediction": HOSTILE[(k + 1) % n], "probability": 0.9, "row": k, "line": k}
        for k, h in enumerate(HOSTILE)
    ]
    made["pick"] |= {"why": HOSTILE[2], "bundle": HOSTILE[10], "confusion": confusion(HOSTILE, 800, 0.8), "wrong": rows}
    made |= {"warnings": list(HOSTILE), "command": f"sartor position {HOSTILE[2]} {HOSTILE[9]}", "task": HOSTILE[0]}
    made["environment"] |= {"processor": HOSTILE[1]}
    made["measured"] = [{"what": HOSTILE[0], "how": HOSTILE[2]}]
    made["stages"] = [{"name": HOSTILE[1], "seconds": 3.0}]
    for k, c in enumerate(made["candidates"][6:]):
        c |= {"name": HOSTILE[k], "family": HOSTILE[k], "reason": HOSTILE[k + 1], "dominated_by": HOSTILE[k]}
    made["candidates"][3]["metrics"]['bad"><script>metric'] = 0.5
    made["race"]["rungs"][0]["dropped"] = [{"name": HOSTILE[0], "reason": HOSTILE[2]}]
    return made


SENTENCE = ["The", "risk", "of", "breast", "cancer", "and", "of", "ovarian", "cancer", "was", "higher", "in"]
SENTENCE += ["carriers", "<b>", ";", "deafness", "was", "not", "seen"]


def spans() -> Dict:
    """Spans in rows of tokens."""
    made = position()
    long = ["w"] * 300
    wrong = [
        {"tokens": SENTENCE, "label": [[3, 5, "Disease"], [7, 9, "Disease"], [15, 16, "Disease"]]}
        | {"prediction": [[3, 9, "Disease"], [15, 16, "Disease"]]},
        {"tokens": long, "label": [[0, 1, "A"]], "prediction": [[299, 300, "B"]]},
        {"tokens": ["\u202e", "x" * 500], "label": [[0, 2, HOSTILE[0]]], "prediction": []},
    ]
    made["pick"] |= {"confusion": None, "test": {"f1": {"value": 0.823, "low": 0.801, "high": 0.844, "n": 900}}}
    made["pick"]["wrong"] = [
        row | {"text": " ".join(row["tokens"]), "probability": 0.98, "row": k, "line": k + 2}
        for k, row in enumerate(wrong)
    ]
    made["pick"]["by_label"] = [
        {"label": label, "count": 700, "said": 690, "precision": 0.8311, "recall": 0.82, "f1": 0.8255}
        for label in ("Disease", HOSTILE[0])
    ]
    made["data"] |= {"counted": "spans", "classes": [{"label": "Disease", "rows": 5134}], "resolution": None}
    for c in made["candidates"]:
        if c["metrics"]:
            c["metrics"]["f1"] = c["metrics"].pop("accuracy")
            c["intervals"]["f1"] = c["intervals"].pop("accuracy", None)
    return made | {"headline": "f1"}


def boxes() -> Dict:
    """Images with boxes in them, one of them with what no report should hold."""
    made = position()
    picture = {"uri": "data:image/jpeg;base64,/9j/4AAQ", "width": 120, "height": 90}
    wrong = [
        {"picture": picture, "label": [["cat", 1.0, 2.0, 31.0, 42.0]], "prediction": [["cat", 0.912, 0, 0, 30, 40]]},
        {"picture": picture | {"uri": "https://example.org/x.jpg"}, "label": [], "prediction": []},
        {"picture": picture, "label": [[HOSTILE[0], 1, 2, 3, 4]], "prediction": []},
    ]
    made["pick"] |= {"confusion": None, "test": {"map": {"value": 0.42, "low": 0.4, "high": 0.45, "n": 90}}}
    made["pick"]["wrong"] = [
        row | {"text": f"{k}.jpg", "probability": None, "score": 0.1 * k, "row": k, "line": k + 2}
        for k, row in enumerate(wrong)
    ]
    made["pick"]["by_label"] = [
        {"label": "cat", "count": 70, "said": 69, "precision": 0.8311, "recall": 0.82, "f1": 0.8255, "ap50": 0.8}
    ]
    made["data"] |= {"counted": "boxes", "classes": [{"label": "cat", "rows": 513}], "resolution": None}
    for c in made["candidates"]:
        if c["metrics"]:
            c["metrics"]["map"] = c["metrics"].pop("accuracy")
            c["intervals"]["map"] = c["intervals"].pop("accuracy", None)
    return made | {"headline": "map"}


ALL = {
    "position": position,
    "spans": spans,
    "boxes": boxes,
    "many_classes": many_classes,
    "regression": regression,
    "interrupted": interrupted,
    "hostile": hostile,
}
