"""Predictions on disk and in parts; which way a metric is better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sartor.predictions import LOWER_IS_BETTER, Predictions, Scores, better


def objects(values: list[object]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


SAMPLES = {
    "labels": Predictions(
        np.array([5, 2]), objects(["ja", "née 🙂"]), ("ja", "née 🙂"), np.array([[0.9, 0.1], [0, 1]])
    ),
    "several": Predictions(np.array([1, 0]), objects([("a", "b"), ()]), ("a", "b"), np.array([[0.9, 0.8], [0.1, 0.2]])),
    "several, none chosen": Predictions(np.array([0]), objects([()]), ("a", "b"), np.array([[0.1, 0.2]])),
    "several, all of one size": Predictions(np.arange(2), objects([("a", "b")] * 2), ("a", "b"), np.ones((2, 2))),
    "labels that look like numbers": Predictions(np.arange(2), objects(["1", "02"]), ("02", "1"), np.eye(2)),
    "a label for each token": Predictions(
        np.array([4, 9, 2]),
        objects([("O", "B-x"), (), ("O",)]),
        ("O", "B-x"),
        np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]),
        np.array([0, 2, 2, 3]),
    ),
    "numbers": Predictions(np.array([9, 4]), np.array([1.5, -2e300])),
    "labels alone": Predictions(np.array([9]), objects(["a"]), ("a", "b")),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_file_gives_them_back(kind: str, tmp_path: Path) -> None:
    said = SAMPLES[kind]
    said.save(tmp_path / "x.parquet")
    again = Predictions.load(tmp_path / "x.parquet")
    assert list(again.rows) == list(said.rows)
    assert list(again.values) == list(said.values)
    assert again.values.dtype == said.values.dtype
    assert again.labels == said.labels
    assert (again.probabilities is None) == (said.probabilities is None)
    if said.probabilities is not None:
        np.testing.assert_array_equal(again.probabilities, said.probabilities)


def test_any_reader_of_parquet_sees_plain_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    SAMPLES["labels"].save(tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [
        {"row": 5, "prediction": "ja", "probability": [0.9, 0.1]},
        {"row": 2, "prediction": "née 🙂", "probability": [0.0, 1.0]},
    ]


@pytest.mark.parametrize("where", [np.array([1]), np.array([False, True])], ids=["places", "mask"])
def test_taking_some(where: np.ndarray) -> None:
    some = SAMPLES["labels"].take(where)
    assert (list(some.rows), list(some.values), len(some)) == ([2], ["née 🙂"], 1)
    assert some.probabilities.tolist() == [[0.0, 1.0]]
    assert SAMPLES["numbers"].take(where).probabilities is None


def test_better() -> None:
    assert better("accuracy", 0.9, 0.8)
    assert not better("accuracy", 0.8, 0.8)
    for metric in LOWER_IS_BETTER:
        assert better(metric, 0.1, 0.2)
        assert not better(metric, 0.2, 0.1)


def test_the_evidence_is_the_likelihood_where_there_is_one() -> None:
    assert Scores({"accuracy": 1.0}, {"accuracy": np.ones(1), "log_loss": np.ones(1)}).evidence == "log_loss"
    assert Scores({"mae": 1.0}, {"mae": np.ones(1)}).evidence == "mae"
    assert Scores({"mae": 1.0, "rmse": 2.0}).headline == "mae"


def test_labels_of_tokens_are_taken_with_their_rows(tmp_path: Path) -> None:
    said = SAMPLES["a label for each token"]
    some = said.take(np.array([2, 0, 2]))
    assert list(some.values) == [("O",), ("O", "B-x"), ("O",)]
    assert some.offsets is not None and some.offsets.tolist() == [0, 1, 3, 4]
    assert some.probabilities is not None and some.probabilities[:, 0].tolist() == [0.7, 0.9, 0.2, 0.7]
    masked = said.take(np.array([False, True, False]))
    assert masked.probabilities is not None and masked.probabilities.shape == (0, 2)
    masked.save(tmp_path / "none.parquet")
    again = Predictions.load(tmp_path / "none.parquet")
    assert again.offsets is not None and again.offsets.tolist() == [0, 0]


def test_one_label_a_row_or_not() -> None:
    single = {"labels", "labels that look like numbers", "labels alone"}
    assert {name for name, said in SAMPLES.items() if said.single} == single
