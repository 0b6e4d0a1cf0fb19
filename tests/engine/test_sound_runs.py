"""Runs on sounds: in bf16, stopped and taken up again, perturbed by seed and row alone, learned to the last letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sartor.engine import checkpoint
from sartor.engine.operators import Operators
from sartor.engine.train import look
from sartor.part import part
from sartor.recipe import Plan, Recipe
from sartor.tasks.speech_recognition import SpeechRecognition
from sound_samples import sounded, spoken
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

ROWS, HELD = spoken(24), spoken(12, 1)


def recipe(rows: Any = ROWS, **plan: Any) -> Recipe:
    given = {"per_device_train_batch_size": 8, "max_steps": 6, "precision": "fp32", "learning_rate": 1e-3} | plan
    parts = {"backbone": part("backbones", "speech:size=micro"), "method": part("methods", "full")}
    parts |= {"objective": part("objectives", "supervised")}
    task = SpeechRecognition().learn(rows) if rows.schema.kind("label") == "text" else task_of(rows)
    return Recipe(task=task, plan=Plan(**given), **parts).settled()  # type: ignore[arg-type]


def test_stopped_and_taken_up_again_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, encoded = begun(recipe(), ROWS)
    list(steps(whole, encoded))
    first, encoded = begun(recipe(), ROWS)
    for step in steps(first, encoded):
        if step.number == 4:
            break
    checkpoint.save(first, tmp_path)
    again, encoded = begun(recipe(), ROWS)
    assert checkpoint.load(again, tmp_path)
    list(steps(again, encoded))
    assert same_bits(weights(again), weights(whole))


@pytest.mark.parametrize("rows", [ROWS, sounded(24)], ids=["texts", "classes"])
def test_it_trains_in_bf16(rows: Any) -> None:
    run, encoded = begun(recipe(rows, precision="bf16"), rows)
    assert all(np.isfinite(step.loss) for step in steps(run, encoded))


def test_a_convolution_whose_weight_is_made_anew_for_every_pass_works_in_bf16() -> None:
    """Weight norm, as wav2vec 2.0 places its rows by."""
    body = nn.Sequential(nn.Linear(8, 8), nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3, padding=1)))
    x, mode = torch.randn(2, 8, 8), Operators(body, "bf16")
    with mode:
        found = body(x)
        found.float().square().sum().backward()
    torch.testing.assert_close(found.float(), body(x), rtol=0.05, atol=0.05)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in body.parameters())


def test_a_row_is_perturbed_the_same_whatever_stands_beside_it() -> None:
    run, encoded = begun(recipe(), ROWS)
    body, some = run.net.body, torch.tensor([9, 2])
    together, alone = body.augment(encoded, 5).take(some), body.augment(encoded.take(some), 5)
    assert torch.equal(together.sequences["samples"], alone.sequences["samples"])
    assert torch.equal(together.counts, alone.counts)  # type: ignore[arg-type]
    assert all(torch.equal(together.dense[name], alone.dense[name]) for name in alone.dense)
    other = body.augment(encoded.take(some), 6)
    assert other.sequences["samples"].shape != alone.sequences["samples"].shape
    plain = encoded.take(some)
    assert torch.equal(plain.dense["transcript"], alone.dense["transcript"])


def test_words_are_learned_to_the_letter() -> None:
    """Letters are tones: a network of a hundred thousand weights reads them in words it has never heard."""
    rows, held = spoken(160, words=1), spoken(40, 1, words=1)
    made = recipe(rows, max_steps=240, learning_rate=4e-3, per_device_train_batch_size=16, dropout=0.0)
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    batch = made.task.encode(held, run.net.body)
    scores = look(run, batch, held).scores
    assert scores.metrics["cer"] < 0.1


@pytest.mark.parametrize("compressor", ["drop_layers", "prune"])
def test_what_was_cut_away_is_recovered_frame_by_frame(compressor: str) -> None:
    """Sounds keep their lengths meanwhile: what the whole network said is of their frames."""
    run, encoded = begun(recipe(max_steps=2), ROWS)
    list(steps(run, encoded))
    made: Any = part("compressors", compressor)
    made.compress(run.net.eval(), run.recipe, ROWS)
    assert not torch.equal(run.net.body.augment(encoded, 5).counts, encoded.counts)  # type: ignore[arg-type]
