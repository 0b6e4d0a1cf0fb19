"""What every training verb begins with: data and the task that fits it, before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from sartor.data.hints import Hints
from sartor.errors import BadInput
from sartor.opening import check_metric, open_data
from sartor.tasks.classification import Classification
from text_samples import labelled, measured, task_of


def frame(target: Any, count: int = 60) -> pd.DataFrame:
    texts = [f"a text of some length number {i}" for i in range(count)]
    return pd.DataFrame({"text": texts, "label": [target(i) for i in range(count)]})


def opened(data: Any, task: str | None = None, **given: Any) -> Any:
    return open_data(data, Hints(target="label"), task, given.get("validation"), given.get("test"), 0)


def sentence(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


@pytest.mark.parametrize(
    ("target", "task", "expected"),
    [
        (lambda i: "ab"[i % 2], None, "classification"),
        (lambda i: i * 1.5, None, "regression"),
        (lambda i: i % 5, None, "classification"),
        (lambda i: i % 5, "regression", "regression"),
        (lambda i: "ab"[i % 2], "classification:class_weight=balanced", "classification"),
    ],
)
def test_the_task_is_guessed_or_taken(target: Any, task: str | None, expected: str) -> None:
    assert opened(frame(target), task).task.name == expected


def test_the_task_learns_from_the_training_part_alone() -> None:
    made = opened(frame(lambda i: float(i)))
    assert made.task.mean == pytest.approx(sum(made.split.train.targets()) / len(made.split.train))
    assert sum(map(len, made.numbers().values())) == 60
    assert made.facts()["parts"] == {name: len(rows) for name, rows in made.numbers().items()}


def test_words_that_are_no_numbers_cannot_be_regressed() -> None:
    said = sentence(lambda: opened(frame(lambda i: "ab"[i % 2]), "regression"))
    assert said.startswith("error[")
    assert "DataFrame" in said


def test_numbers_cannot_be_classified_unless_told() -> None:
    assert sentence(lambda: opened(frame(lambda i: i * 1.5), "classification")) == (
        "error[LABEL_TYPE]: DataFrame: classification predicts a column of kind category or boolean or labels, "
        "and 'label' is of kind number. Fix: use --task regression, or --kind label=category."
    )


def test_a_part_without_the_target_is_refused() -> None:
    data = frame(lambda i: "ab"[i % 2])
    bare = pd.DataFrame({"text": ["x y z", "u v w"]})
    assert sentence(lambda: opened(data, validation=bare)) == (
        "error[LABEL_COLUMN]: DataFrame: the validation part has no target column. Fix: add the column 'label'."
    )


def test_metrics() -> None:
    two, three = task_of(labelled(30, labels=("animal", "food"))), task_of(labelled(30))
    for metric in ("accuracy", "macro_f1", "log_loss", "brier", "auc"):
        check_metric(metric, two)
    for metric in ("mae", "rmse", "r2", "spearman"):
        check_metric(metric, task_of(measured(30)))
    check_metric(None, three)
    assert sentence(lambda: check_metric("auc", three)) == (
        "error[METRIC_TASK]: classification has no metric 'auc'. Fix: known: accuracy, brier, log_loss, macro_f1."
    )
    assert "Known: exact_match" in sentence(
        lambda: check_metric("exact_mach", Classification(several=True, labels=("a", "b")))
    )


def test_opening_imports_no_torch() -> None:
    words = (
        "import sys\n"
        "from sartor.data.hints import Hints\n"
        "from sartor.opening import open_data\n"
        "rows = [{'text': f'a text of some length number {i}', 'label': 'ab'[i % 2]} for i in range(60)]\n"
        "open_data(rows, Hints(target='label'), None, None, None, 0)\n"
        "print(sorted({'torch', 'transformers', 'peft', 'accelerate'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout == "[]\n"
