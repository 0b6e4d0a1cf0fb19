"""Token classification: how data are recognised, what is scored, what is told, and that long rows lose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor.bundle import Bundle, save_network
from sartor.data.hints import Hints
from sartor.data.rows import Rows
from sartor.engine.chain_head import ChainHead
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.opening import open_data, read_for
from sartor.part import part
from sartor.predictions import Predictions
from sartor.task import Task
from sartor.tasks.token_classification import TokenClassification
from text_samples import served, spanned, table, task_of
from tiny_runs import begun, recipe, steps


def rows_of(tokens: list[list[str]], tags: list[list[str]]) -> Rows:
    return table({"tokens": tokens, "label": tags}, {"tokens": "tokens", "label": "tags"}, "label")


def said(task: TokenClassification, rows: Rows, tags: list[list[str]]) -> Predictions:
    """Answers of these tags, each with probability 0.9."""
    place = {tag: i for i, tag in enumerate(task.labels)}
    flat = [place[tag] for row in tags for tag in row]
    sure = np.full((len(flat), len(task.labels)), 0.1 / (len(task.labels) - 1))
    sure[np.arange(len(flat)), flat] = 0.9
    values = np.empty(len(tags), dtype=object)
    values[:] = [tuple(row) for row in tags]
    ends = np.append(0, np.cumsum([len(row) for row in tags]))
    return Predictions(rows.numbers, values, task.labels, sure, ends)


TRUE = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"], []]
TOKENS = [["a", "b", "c", "d"], ["e", "f"], []]
SAID = [["B-A", "I-A", "O", "B-A"], ["B-B", "O"], []]


@pytest.fixture
def sample() -> tuple[TokenClassification, Rows, Predictions]:
    rows = rows_of(TOKENS, TRUE)
    task = TokenClassification().learn(rows)
    return task, rows, said(task, rows, SAID)


def test_every_scheme_is_learned_as_iob2() -> None:
    for tags in (["B-A", "E-A", "S-B"], ["I-A", "I-A", "I-B"], ["A", "A", "B"], ["B-A", "L-A", "U-B"]):
        task = TokenClassification().learn(rows_of([["x", "y", "z"]], [tags]))
        assert task.labels == ("O", "B-A", "I-A", "B-B", "I-B")
        assert task.mean_length == 3.0


def test_declared_types_are_there_without_rows() -> None:
    rows = rows_of(TOKENS, TRUE)
    import dataclasses

    declared = dataclasses.replace(rows, schema=dataclasses.replace(rows.schema, labels=("O", "B-C", "I-C")))
    assert TokenClassification().learn(declared).labels[-2:] == ("B-C", "I-C")


def test_rows_without_a_span_teach_nothing() -> None:
    with pytest.raises(BadInput) as caught:
        TokenClassification().learn(rows_of([["x"]], [["O"]]))
    assert str(caught.value) == (
        "error[LABEL_SINGLE]: sample.csv: no row has a span: every tag is O. "
        "Fix: add rows with spans, or pass another --target."
    )


def test_a_span_counts_where_both_ends_and_the_type_are_right(sample: Any) -> None:
    task, rows, answered = sample
    scores = task.score(answered, rows)
    assert scores.headline == "f1"
    assert scores.metrics["precision"] == pytest.approx(1 / 3)
    assert scores.metrics["recall"] == pytest.approx(1 / 3)
    assert scores.metrics["f1"] == pytest.approx(1 / 3)
    wrong = -np.log(0.1 / 4)
    assert scores.metrics["log_loss"] == pytest.approx((3 * -np.log(0.9) + 3 * wrong) / 6)
    assert scores.items["log_loss"].mean() == pytest.approx(scores.metrics["log_loss"])
    assert scores.evidence == "log_loss"


def test_scores_are_those_of_seqeval() -> None:
    known = pytest.importorskip("seqeval.metrics")
    draw = np.random.default_rng(0)
    tags = ["O", "O", "B-A", "I-A", "B-B", "I-B"]
    true, other = ([[str(t) for t in draw.choice(tags, size=6)] for _ in range(200)] for _ in range(2))
    rows = rows_of([["w"] * 6] * 200, true)
    task = TokenClassification().learn(rows)
    found = task.score(said(task, rows, other), rows).metrics
    for name, score in (("f1", known.f1_score), ("precision", known.precision_score), ("recall", known.recall_score)):
        assert found[name] == pytest.approx(score(true, other), abs=1e-12)


def test_a_metric_of_some_rows_is_the_score_of_these_rows() -> None:
    rows = spanned(40, length=None)
    task: Any = task_of(rows)
    draw = torch.Generator().manual_seed(0)
    answered = task.answer(torch.randn(sum(map(len, rows.column("tokens"))), 7, generator=draw), rows)
    for where in (np.arange(40), np.array([3, 3, 7, 1]), np.array([0])):
        some = task.score(answered.take(where), rows.take(where)).metrics
        for name in ("f1", "precision", "recall"):
            assert task.metric(name, answered, rows)(where) == pytest.approx(some[name])


def test_the_answer_is_always_one_that_iob2_allows() -> None:
    rows = spanned(30, length=None)
    for crf in (False, True):
        task: Any = task_of(rows, crf=crf)
        width = len(task.labels) + (len(task.labels) + 1) * len(task.labels) * crf
        noise = torch.randn(sum(map(len, rows.column("tokens"))), width, generator=torch.Generator().manual_seed(1))
        noise[:, len(task.labels) :] = noise[0, len(task.labels) :]
        answered = task.answer(noise, rows)
        for tags in answered.values:
            for before, tag in zip(("O", *tags), tags, strict=False):
                assert tag[0] != "I" or before[2:] == tag[2:]
        np.testing.assert_allclose(answered.probabilities.sum(1), 1, atol=1e-9)


def test_types_and_lengths_that_do_not_fit_are_told_with_their_line(sample: Any) -> None:
    task, _, _ = sample
    with pytest.raises(BadInput) as caught:
        task.score(said(task, rows_of([["a"]], [["B-A"]]), [["O"]]), rows_of([["a"]], [["B-C"]]))
    assert str(caught.value) == (
        'error[LABEL_UNKNOWN]: sample.csv:8: type "C" is not one of: A, B. '
        "Fix: correct the row, or train with rows that have this type."
    )
    with pytest.raises(BadInput) as caught:
        task.score(said(task, rows_of([["a"]], [["B-A"]]), [["O"]]), rows_of([["a"]], [["B-A", "O"]]))
    assert str(caught.value) == (
        "error[TAG_LENGTH]: sample.csv:8: the row has 1 tokens and 2 tags. Fix: give every token one tag."
    )


def test_what_is_told_of_each_row(sample: Any) -> None:
    task, rows, answered = sample
    first, second, third = task.telling.told(answered, rows)
    assert first["tags"] == SAID[0]
    assert first["prediction"] == [
        {"entity": "A", "start": 0, "end": 2, "text": "a b", "probability": 0.9},
        {"entity": "A", "start": 3, "end": 4, "text": "d", "probability": 0.9},
    ]
    assert second["prediction"][0]["entity"] == "B"
    assert third == {"prediction": [], "tags": []}


def test_mistakes_have_the_tokens_and_both_sets_of_spans(sample: Any) -> None:
    task, rows, answered = sample
    found = task.telling.mistakes(answered, rows, 10)
    assert [m["row"] for m in found] == [8, 7]
    assert found[1]["tokens"] == TOKENS[0]
    assert found[1]["label"] == [[0, 2, "A"], [3, 4, "B"]]
    assert found[1]["prediction"] == [[0, 2, "A"], [3, 4, "A"]]
    assert found[1]["probability"] == pytest.approx(0.9)


def test_each_type_by_itself(sample: Any) -> None:
    task, rows, answered = sample
    a, b = task.telling.by_label(answered, rows)
    assert (a["label"], a["count"], a["said"], a["precision"], a["recall"]) == ("A", 2, 2, 0.5, 0.5)
    assert (b["label"], b["count"], b["said"], b["f1"]) == ("B", 1, 1, 0.0)


CLAIMED = [
    ({"tokens", "ner_tags"}, Hints(), True),
    ({"id", "Words", "Tags"}, Hints(), True),
    ({"tokens", "ner_tags", "topic"}, Hints(target="topic"), False),
    ({"text", "tags"}, Hints(), False),
    ({"tokens", "label"}, Hints(), False),
    ({"tokens", "tags"}, Hints(kinds={"tags": "labels"}), False),
    ({"sentence", "tags"}, Hints(text=("sentence",)), True),
]


@pytest.mark.parametrize(("columns", "hints", "claims"), CLAIMED)
def test_its_data_are_known_by_the_names_of_the_columns(columns: set[str], hints: Hints, claims: bool) -> None:
    assert TokenClassification.reading.claims(columns, hints) == claims


def test_a_table_is_read_without_a_hint() -> None:
    data = [{"id": i, "tokens": ["Ada", "came", str(i)], "ner_tags": ["B-PER", "O", "O"]} for i in range(60)]
    opened = open_data(data, Hints(), None, None, None, 0)
    schema = opened.split.train.schema
    assert opened.task.name == "token_classification"
    assert (schema.inputs, schema.target) == (("tokens",), "ner_tags")
    assert {c.name: c.why for c in schema.columns}["ner_tags"] == "a tag for each token"
    assert opened.split.how.startswith("stratified by the types of span in 'ner_tags'")


def test_documents_stay_in_one_part(tmp_path: Path) -> None:
    words = [f"-DOCSTART- O\n\nAda{i} B-PER\ncame{i} O\n\nBo{i} B-PER\nleft{i} O\n\n" for i in range(40)]
    (tmp_path / "a.conll").write_text("".join(words))
    opened = open_data(str(tmp_path / "a.conll"), Hints(), None, None, None, 0)
    assert opened.split.train.schema.group == "document"


def test_without_a_column_of_tokens_it_is_told_which_is_needed() -> None:
    with pytest.raises(BadInput) as caught:
        read_for([{"sentence": "a b", "tags": "O O"}], Hints(), "token_classification")
    assert str(caught.value) == (
        "error[NO_TOKENS]: no column of tokens is among: sentence, tags. Fix: name it with --text, or call it 'tokens'."
    )


def test_targets_stand_at_their_tokens(tiny_encoder: Path) -> None:
    rows = spanned(12, length=None)
    task: Any = task_of(rows)
    body: Any = part("backbones", f"encoder:path={tiny_encoder}")
    batch = task.encode(rows, body.build("tokens"))
    order = torch.tensor([5, 0, 11])
    some = batch.take(order)
    known = [tag for i in order.tolist() for tag in rows.column("label")[i]]
    assert [task.labels[k] for k in some.targets.tolist()] == known
    assert some.counts.tolist() == [len(rows.column("tokens")[i]) for i in order.tolist()]


def test_every_token_weighs_the_same_in_the_loss(tiny_encoder: Path) -> None:
    rows = spanned(12, length=None)
    task: Any = task_of(rows)
    body: Any = part("backbones", f"encoder:path={tiny_encoder}")
    batch = task.encode(rows, body.build("tokens"))
    scores = torch.randn(len(batch.targets), 7)
    each = torch.nn.functional.cross_entropy(scores, batch.targets, reduction="none")
    torch.testing.assert_close(task.loss(scores, batch).mean(), each.mean())


@pytest.mark.parametrize("crf", [False, True])
def test_trained_on_rows_far_longer_than_the_model_it_finds_every_span(crf: bool, tiny_encoder: Path) -> None:
    """Rows of 120 tokens for a model of 40 positions; the last spans are found as the first are."""
    rows = spanned(16, length=120)
    made = recipe(
        tiny_encoder, rows, task=task_of(rows, crf=crf), max_steps=30, head_start="solved", learning_rate=3e-3
    )
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    answered = made.task.answer(outputs(run.net, encoded), rows)
    assert [len(tags) for tags in answered.values] == [120] * 16
    assert made.task.score(answered, rows).metrics["f1"] > 0.9
    last = [[tag if i >= 100 else "O" for i, tag in enumerate(row)] for row in rows.column("label")]
    found = [[tag if i >= 100 else "O" for i, tag in enumerate(row)] for row in answered.values]
    assert sum(a == b for row in zip(last, found, strict=True) for a, b in zip(*row, strict=True)) > 0.97 * 120 * 16


def test_the_chain_s_first_head_is_better_than_tags_alone(tiny_encoder: Path) -> None:
    rows = spanned(80, length=None)
    losses = {}
    for crf in (False, True):
        made = recipe(tiny_encoder, rows, "probe", task=task_of(rows, crf=crf), head_start="solved")
        run, encoded = begun(made, rows)
        assert isinstance(run.net.head, ChainHead) == crf
        losses[crf] = float(made.task.loss(outputs(run.net, encoded), encoded).mean())
    assert losses[True] < losses[False]


@pytest.mark.parametrize("crf", [False, True])
def test_a_bundle_answers_tokens_lists_and_texts(crf: bool, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = spanned(24)
    made = recipe(tiny_encoder, rows, task=task_of(rows, crf=crf), max_steps=2, head_start="solved")
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    folder = save_network(tmp_path / "bundle", run.net, made, rows.schema, {}, "")
    assert (folder / "sartor/chain.safetensors").exists() == crf
    bundle = Bundle.load(folder)
    same = [bundle.predict([asked]) for asked in ({"tokens": ["the", "cat"]}, ["the", "cat"], "the cat")]
    assert same[0] == same[1] == same[2]
    assert len(same[0][0]["tags"]) == 2


def test_transformers_own_pipeline_opens_it_and_finds_the_same_spans(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    rows = spanned(80)
    made = recipe(tiny_encoder, rows, max_steps=60, head_start="solved", learning_rate=3e-3)
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    folder = save_network(tmp_path / "bundle", run.net, made, rows.schema, {}, "")
    held = spanned(30, 3)
    theirs: Any = pipeline("token-classification", model=str(folder), aggregation_strategy="first")
    bundle = Bundle.load(folder)
    answered, told = bundle.answer(held), bundle.predict(served(held))
    alike = 0
    for i, tokens in enumerate(held.column("tokens")):
        start, end = answered.offsets[i], answered.offsets[i + 1]
        likeliest = [answered.labels[k] for k in answered.probabilities[start:end].argmax(1)]
        if likeliest == list(answered.values[i]):  # theirs takes each tag by itself, ours the best path in IOB2
            alike += 1
            spans = [(one["entity_group"], one["word"]) for one in theirs(" ".join(tokens))]
            assert spans == [(one["entity"], one["text"]) for one in told[i]["prediction"]]
    assert alike > 15


def test_notes_say_what_plain_transformers_leaves_out() -> None:
    telling = TokenClassification.telling
    assert len(telling.notes(TokenClassification())) == 1
    assert "sartor/chain.safetensors" in telling.notes(TokenClassification(crf=True))[1]
    assert telling.pipeline == "token-classification"
    assert isinstance(TokenClassification(), Task)
