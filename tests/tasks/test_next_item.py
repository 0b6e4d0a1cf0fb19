"""Next item: what the networks see and learn from, what is told of their answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from item_samples import ITEMS, histories, learned, wandering
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.part import part
from sartor.pretrained.items import ITEMS as WORDS
from sartor.pretrained.items import READ
from sartor.recipe import Plan, Recipe
from tiny_runs import begun, steps

ROWS = wandering(60, asked=9)


def body_of(kind: str, rows: Any = ROWS, **settings: Any) -> Any:
    words = "".join(f",{name}={value}" for name, value in settings.items())
    backbone: Any = part("backbones", f"items:kind={kind},width=16{words}")
    return backbone.learn(rows).build("items").eval()


def test_every_position_of_a_training_row_is_a_question() -> None:
    task, body = learned(ROWS), body_of("sasrec")
    batch = task.encode(ROWS, body)
    first = batch.take(torch.tensor([0]))
    names = [*ROWS.columns["items"][0], ROWS.columns["next_item"][0][-1]]
    assert [ITEMS[i] for i in first.sequences[WORDS]] == names[:-1]
    assert [ITEMS[i] for i in first.targets] == names[1:]  # type: ignore[union-attr]
    assert task.mean_length == pytest.approx(np.mean([len(t) for t in ROWS.columns["next_item"]]))  # type: ignore[attr-defined]


def test_nobody_sees_what_comes_later() -> None:
    body = body_of("sasrec")
    lines = [["item 01", "item 02", "item 03", "item 04"], ["item 01", "item 02", "item 09", "item 10"]]
    with torch.no_grad():
        said = body(body.encode({"items": lines, "asked": [4, 4]})).view(2, 4, -1)
    torch.testing.assert_close(said[0, :2], said[1, :2], rtol=0, atol=1e-6)
    assert (said[0, 2] - said[1, 2]).abs().max() > 1e-3


def test_the_last_items_of_a_long_history_are_read() -> None:
    for kind, room in (("sasrec", 4), ("bert4rec", 3)):
        body = body_of(kind, max_length=4)
        long = [[*ITEMS[:9]]]
        with torch.no_grad():
            one, other = (body(body.encode({"items": lines})) for lines in (long, [long[0][-room:]]))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_targets_are_those_of_the_positions_that_are_read() -> None:
    task, body = learned(ROWS), body_of("sasrec", max_length=3)
    batch = task.encode(ROWS, body)
    assert int(batch.lengths.max()) == 3
    for i, counted in enumerate(batch.counts.tolist()):  # type: ignore[union-attr]
        told = batch.take(torch.tensor([i])).targets
        assert [ITEMS[t] for t in told] == ROWS.columns["next_item"][i][-counted:]  # type: ignore[union-attr]


def test_the_last_item_is_always_masked_and_no_answer_is_in_sight() -> None:
    task, body = learned(ROWS), body_of("bert4rec", mask_share=0.5)
    batch = task.encode(ROWS, body)
    assert batch.counts.tolist() == [1] * 60  # type: ignore[union-attr]
    seen = body.augment(batch, 5)
    read, words = seen.sequences[READ].bool(), seen.sequences[WORDS]
    assert (words[read] == body.mask).all()
    assert len(seen.targets) == int(read.sum()) == int(seen.counts.sum())
    assert read[seen.offsets[1:] - 1].all()
    shares = read.float().mean()
    assert 0.4 < float(shares) < 0.85
    whole = words.clone()
    whole[read] = seen.targets
    names = [[*had, then[-1]] for had, then in zip(ROWS.columns["items"], ROWS.columns["next_item"], strict=True)]
    assert [ITEMS[i] for i in whole] == [name for line in names for name in line]


def test_masks_are_a_function_of_the_seed_and_the_row() -> None:
    task, body = learned(ROWS), body_of("bert4rec", mask_share=0.5)
    batch = task.encode(ROWS, body)
    order = torch.arange(60).flip(0)
    one, again, other = body.augment(batch, 5), body.augment(batch.take(order), 5), body.augment(batch, 6)
    assert torch.equal(one.take(order).sequences[WORDS], again.sequences[WORDS])
    assert not torch.equal(one.sequences[WORDS], other.sequences[WORDS])


@pytest.mark.parametrize("kind", ["sasrec", "bert4rec"])
def test_both_networks_learn_what_follows(kind: str) -> None:
    held = wandering(40, 1)
    backbone: Any = part("backbones", f"items:kind={kind},width=32,dropout=0.0")
    plan = Plan(per_device_train_batch_size=20, max_steps=250, learning_rate=5e-3)
    parts: Any = {"method": part("methods", "full"), "objective": part("objectives", "supervised")}
    made = Recipe(task=learned(ROWS), backbone=backbone.learn(ROWS), plan=plan, **parts).settled()
    run, encoded = begun(made, ROWS)
    losses = [step.loss for step in steps(run, encoded)]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])
    said = made.task.answer(outputs(run.net, made.task.encode(held, run.net.body)), held)
    assert made.task.score(said, held).metrics["hit_rate_at_10"] == 1.0
    assert made.task.score(said, held).metrics["mrr"] > 0.9


def test_the_plans_dropout_is_that_of_the_layers() -> None:
    body = body_of("sasrec")
    body.drop.p = 0.0
    body.train()
    batch = body.encode({"items": [list(ITEMS[:5])]})
    assert torch.equal(body(batch), body(batch))
    body.drop.p = 0.5
    assert not torch.equal(body(batch), body(batch))


@pytest.mark.parametrize("kind", ["sasrec", "bert4rec"])
def test_plain_transformers_gives_the_same_scores(kind: str, tmp_path: Any) -> None:
    import transformers

    task, body = learned(ROWS), body_of(kind)
    body.save(tmp_path, task.head(body), task.describe())
    opened = {"sasrec": transformers.AutoModelForCausalLM, "bert4rec": transformers.AutoModelForMaskedLM}[kind]
    plain = opened.from_pretrained(tmp_path)
    batch = body.encode({"items": [list(ITEMS[:5])]})
    with torch.no_grad():
        ours = task.head(body)(body(batch))
        theirs = plain.eval()(input_ids=batch.sequences[WORDS][None]).logits[:, -1, : len(ITEMS)]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_next_item_that_nobody_had_is_no_target_and_no_error() -> None:
    task, body = learned(ROWS), body_of("sasrec")
    rows = histories([["item 01"]], [["one that nobody had"]])
    batch = task.encode(rows, body)
    assert batch.targets.tolist() == [-1]  # type: ignore[union-attr]
    assert task.loss(task.head(body)(body(batch)), batch).tolist() == [0.0]


def test_what_is_told_names_who_asked_and_what_is_unknown() -> None:
    task, body = learned(ROWS, k=3), body_of("sasrec")
    rows = histories([["item 01", "one that nobody had"], []], [["item 02"], ["item 03"]])
    with torch.no_grad():
        said = task.answer(task.head(body)(body(task.encode(rows, body))), rows)
    told = task.telling.told(said, rows)
    assert [row["user"] for row in told] == ["user 0", "user 1"]
    assert told[0]["unknown"] == ["one that nobody had"]
    assert "unknown" not in told[1]
    assert len(told[0]["prediction"]) == len(told[0]["chances"]) == 3
    assert told[0]["chances"] == sorted(told[0]["chances"], reverse=True)
    assert "item 01" not in told[0]["prediction"]


def test_mistakes_show_the_end_of_the_history() -> None:
    task = learned(ROWS, k=1)
    rows = histories([list(ITEMS[:8])], [[ITEMS[9]]])
    scores = torch.zeros(1, len(ITEMS))
    scores[0, 12] = 9.0
    (found,) = task.telling.mistakes(task.answer(scores, rows), rows, 5)
    assert found["text"] == "user 0: … → item 03 → item 04 → item 05 → item 06 → item 07"
    assert (found["label"], found["prediction"]) == ("item 09", "item 12")
    scores[0, 9] = 10.0
    assert task.telling.mistakes(task.answer(scores, rows), rows, 5) == []


def test_probe_is_refused_by_the_part_that_knows() -> None:
    backbone: Any = part("backbones", "items:width=16")
    parts: Any = {"method": part("methods", "probe"), "objective": part("objectives", "supervised")}
    made = Recipe(task=learned(ROWS), backbone=backbone.learn(ROWS), **parts).settled()
    with pytest.raises(BadInput) as raised:
        begun(made, ROWS)
    said = "error[PROBE_HEAD]: probe fits only the head, and this one has no weights besides the body's."
    assert str(raised.value) == f"{said} Fix: use --method full, or lora."


def test_small_networks_work_in_32_bits_unless_asked_otherwise() -> None:
    backbone: Any = part("backbones", "items")
    assert backbone.plan(Plan()).precision == "fp32"
    assert backbone.plan(Plan(precision="bf16")).precision == "bf16"
    longer, usual = (b.plan(Plan()).num_train_epochs for b in (replace(backbone, kind="bert4rec"), backbone))
    assert longer == 3 * usual


@pytest.mark.parametrize("words", ["width=15", "layers=0", "dropout=1.5", "max_length=1"])
def test_impossible_networks_are_refused(words: str) -> None:
    with pytest.raises(BadInput, match="VALUE_RANGE"):
        part("backbones", f"items:{words}")
