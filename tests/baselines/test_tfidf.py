from __future__ import annotations

import numpy as np
import pytest

from sartor.baselines.tfidf import TfIdf
from sartor.data.rows import Rows
from sartor.errors import BadInput
from text_samples import labelled, measured, paired, served, table, tagged, task_of


def score(rows: Rows, others: Rows, baseline: TfIdf = TfIdf()) -> dict[str, float]:  # noqa: B008
    task = task_of(rows)
    return task.score(baseline.fit(task, rows).predict(others), others).metrics


def test_it_learns_words() -> None:
    assert score(labelled(200), labelled(100, 1))["accuracy"] > 0.95


def test_it_learns_several_labels() -> None:
    assert score(tagged(200), tagged(100, 1))["micro_f1"] > 0.9


def test_it_learns_numbers_in_their_own_units() -> None:
    metrics = score(measured(200), measured(100, 1))
    assert metrics["r2"] > 0.8
    assert metrics["mae"] < 4


def test_it_tells_the_two_texts_of_a_pair_apart() -> None:
    assert score(paired(300), paired(100, 1))["accuracy"] > 0.9


def test_it_learns_letters_where_words_never_repeat() -> None:
    draw = np.random.default_rng(0)
    stems = ["unhappi", "brightly"]
    said = draw.integers(2, size=200)
    texts = ["".join(chr(97 + c) for c in draw.integers(26, size=5)) + stems[i] + str(n) for n, i in enumerate(said)]
    rows = table({"text": texts, "label": [stems[i] for i in said]}, {"text": "text", "label": "category"}, "label")
    assert score(rows.take(range(100)), rows.take(range(100, 200)))["accuracy"] > 0.95


def test_words_of_scripts_without_spaces_are_single_characters() -> None:
    rows = table(
        {"text": ["我很高兴", "他很难过"] * 6, "label": ["+", "-"] * 6}, {"text": "text", "label": "category"}, "label"
    )
    families = TfIdf().fit(task_of(rows), rows).state().values["families"]
    words = next(f["terms"] for f in families if f["analyzer"] == "word")
    assert {"高", "高 兴"} <= set(words)


def test_the_vocabulary_comes_from_the_training_rows_alone() -> None:
    rows = labelled(30)
    fitted = TfIdf().fit(task_of(rows), rows)
    before = fitted.state().values
    fitted.predict(table({"text": ["zyzzyva"]}, {"text": "text"}, None))
    assert fitted.state().values == before
    assert not any("zyzzyva" in f["terms"] for f in before["families"])


def test_noise_gets_a_stronger_penalty_than_signal() -> None:
    clear = labelled(300)
    draw = np.random.default_rng(0)
    noisy = table(
        {"text": list(clear.column("text")), "label": [str(t) for t in draw.integers(2, size=300)]},
        {"text": "text", "label": "category"},
        "label",
    )
    chosen = [TfIdf().fit(task_of(rows), rows).state().values["C"] for rows in (noisy, clear)]
    assert chosen[0] < chosen[1]


def test_texts_without_any_term_get_the_frequencies() -> None:
    rows = table(
        {"text": ["", " ", "", ""], "label": ["a", "a", "a", "b"]}, {"text": "text", "label": "category"}, "label"
    )
    said = TfIdf().fit(task_of(rows), rows).predict(served(rows))
    assert said.probabilities[0] == pytest.approx([0.75, 0.25], abs=0.01)


def test_a_lone_surrogate_is_kept_out_of_the_vocabulary() -> None:
    rows = table(
        {"text": ["caf\ud800 one", "tea two"] * 4, "label": ["a", "b"] * 4},
        {"text": "text", "label": "category"},
        "label",
    )
    fitted = TfIdf().fit(task_of(rows), rows)
    assert "\ud800" not in "".join(t for f in fitted.state().values["families"] for t in f["terms"])


def test_max_features_bounds_every_kind_of_ngram() -> None:
    rows = labelled(60)
    families = TfIdf(max_features=11).fit(task_of(rows), rows).state().values["families"]
    assert [len(f["terms"]) for f in families] == [11, 11]


def test_an_impossible_penalty_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        TfIdf(C=(1.0, 0.0))
    assert caught.value.sentence() == "error[VALUE_RANGE]: tfidf.C is 1.0+0.0. Fix: give numbers above 0."


def test_no_features_at_all_are_refused() -> None:
    with pytest.raises(BadInput) as caught:
        TfIdf(max_features=0)
    assert caught.value.sentence() == "error[VALUE_RANGE]: tfidf.max_features is 0. Fix: give at least 1."
