"""Episodes as entries of a batch, and runs over them that are paused, cut into parts and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.asking import Shape
from sartor.data.rows import Rows
from sartor.engine import checkpoint
from sartor.engine.episodes import batches, entries, gathered, known, opened, parted, row_by_row
from sartor.engine.fit import fit
from sartor.engine.train import prepare
from sartor.part import part
from sartor.recipe import Recipe
from sartor.task import Task
from text_samples import families, sensors
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = families(120)
SHAPE = Shape(3, 1, 2)


@pytest.fixture(scope="module")
def encoded(tiny_encoder: Path) -> Any:
    return begun(few(tiny_encoder, "prototypes"), ROWS)[1]


def few(encoder: Path, objective: str, rows: Rows = ROWS, **plan: Any) -> Recipe:
    task = part("tasks", "few_shot:ways=3,queries=2")
    assert isinstance(task, Task)
    usual: dict[str, Any] = {"max_steps": 6, "learning_rate": 1e-3, "dropout": 0.2, "per_device_train_batch_size": 20}
    return recipe(encoder, rows, objective=objective, task=task.learn(rows), **(usual | plan))


def test_an_update_has_as_many_whole_episodes_as_its_rows_hold() -> None:
    assert [entries(SHAPE, rows) for rows in (1, 9, 17, 18, 40)] == [1, 1, 1, 2, 4]
    assert entries(None, 40) == 40


def test_episodes_hold_the_rows_that_were_drawn(encoded: Any) -> None:
    update = next(batches(encoded, SHAPE, 30, 0, 0))
    assert update.rows.shape == (3, 9)
    assert update.targets.tolist() == [[0, 1, 2, 0, 0, 1, 1, 2, 2]] * 3
    place = {number: i for i, number in enumerate(encoded.rows.tolist())}
    where = torch.tensor([place[n] for n in update.rows.flatten().tolist()])
    plain = encoded.take(where)
    for batch in (opened(update), opened(update.take(torch.arange(3)))):
        assert torch.equal(batch.offsets, plain.offsets)
        assert torch.equal(batch.sequences["input_ids"], plain.sequences["input_ids"])
        assert torch.equal(batch.rows, plain.rows)
    classes = plain.targets.view(3, 9)
    for way in range(3):
        same = classes[:, [way, 3 + 2 * way, 4 + 2 * way]]
        assert (same == same[:, :1]).all()


def test_one_entry_is_its_own_rows(encoded: Any) -> None:
    update = next(batches(encoded, SHAPE, 30, 0, 0))
    last = opened(update.take(torch.tensor([2])))
    assert last.rows.tolist() == update.rows[2].tolist()
    examples, questions = parted(last, SHAPE)
    assert (len(examples), len(questions)) == (3, 6)
    assert torch.equal(torch.cat([examples.rows, questions.rows]), last.rows)


def test_update_number_n_is_the_same_wherever_one_begins(encoded: Any) -> None:
    on = batches(encoded, SHAPE, 18, 5, 0)
    found = [next(on).rows.tolist() for _ in range(4)]
    assert next(batches(encoded, SHAPE, 18, 5, 3)).rows.tolist() == found[3]
    assert next(batches(encoded, SHAPE, 18, 6, 3)).rows.tolist() != found[3]


def test_what_changes_rows_changes_them_in_episodes(encoded: Any) -> None:
    places = torch.arange(18).view(2, 9)
    update = gathered(replace(encoded, dense={**encoded.dense, "x": torch.rand(120, 2, 3)}), places, SHAPE)

    def doubled(rows: Any) -> Any:
        assert rows.dense["x"].shape == (18, 2, 3)
        return replace(rows, dense={**rows.dense, "x": rows.dense["x"] * 2})

    assert torch.equal(row_by_row(update, doubled).dense["x"], update.dense["x"] * 2)
    assert row_by_row(encoded, lambda rows: rows) is encoded


def test_rows_of_unknown_targets_are_not_learned_from(encoded: Any) -> None:
    rows = encoded.take(torch.arange(4))
    assert known(replace(rows, targets=torch.tensor([0, -1, 2, -1]))).rows.tolist() == rows.rows[[0, 2]].tolist()
    numbers = torch.tensor([0.5, float("nan"), 1.0, 2.0])
    assert known(replace(rows, targets=numbers)).rows.tolist() == rows.rows[[0, 2, 3]].tolist()
    assert len(known(replace(rows, targets=None))) == 0


@pytest.mark.parametrize("objective", ["prototypes", "anil", "reptile:inner_steps=2", "maml:first_order=true"])
def test_a_paused_run_ends_the_same(objective: str, tiny_encoder: Path) -> None:
    made = few(tiny_encoder, objective)
    run, examples = begun(made, ROWS)
    assert [s.rows for s in steps(run, examples)] == [18] * 6
    paused, _ = begun(made, ROWS)
    assert paused.state is not None
    while paused.state.step < 6:
        torch.rand(3)
        next(fit(paused.net, examples, made, paused.state))
    assert same_bits(weights(run), weights(paused))


def test_a_run_from_a_checkpoint_ends_the_same(tiny_encoder: Path, tmp_path: Path) -> None:
    made = few(tiny_encoder, "maml")
    run, examples = begun(made, ROWS)
    going = steps(run, examples)
    for _ in range(3):
        next(going)
    checkpoint.save(run, tmp_path)
    list(going)
    again = prepare(made, examples)
    assert checkpoint.load(again, tmp_path)
    assert again.done == 3
    list(steps(again, examples))
    assert same_bits(weights(run), weights(again))


@pytest.mark.parametrize("rows", [ROWS, sensors(120)], ids=["classes", "numbers"])
def test_an_update_in_parts_is_the_same_update(rows: Rows, tiny_encoder: Path) -> None:
    found = []
    for size, times in ((40, 1), (10, 4)):
        plan = {"per_device_train_batch_size": size, "gradient_accumulation_steps": times, "dropout": 0.0}
        run, examples = begun(few(tiny_encoder, "maml", rows, max_steps=2, **plan), rows)
        list(steps(run, examples))
        found.append(run.net.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-3, atol=2e-5)
