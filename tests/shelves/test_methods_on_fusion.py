"""What every method must do on a network that joins others: run over each file on the shelf."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pair_samples import described
from sartor.bundle import Bundle, save_network
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.recipe import Plan, Recipe
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
OF = "(encoder:path={},pooling=mean)+(convnet:size=tiny,image_size=32)"
ROWS, HELD = described(32), described(12, 1)
COUNTED = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize("how", ["late", "cross"])
@pytest.mark.parametrize("method", names("methods"))
def test_it_trains_or_is_refused_and_a_saved_network_answers_the_same(
    method: str, how: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    parts: Any = {
        "backbone": part("backbones", f"fusion:of={OF.format(tiny_encoder)},how={how},width=16"),
        "method": part("methods", method),
        "objective": part("objectives", "supervised"),
    }
    plan = Plan(per_device_train_batch_size=8, max_steps=4, precision="fp32", learning_rate=1e-3)
    recipe = Recipe(task=task_of(ROWS), plan=plan, **parts).settled()
    said = ""
    try:
        run, encoded = begun(recipe, ROWS)
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        pytest.skip(said)
    before = weights(run)
    losses = [] if run.state is None else [step.loss for step in steps(run, encoded)]
    assert np.isfinite(losses).all()
    moved = run.net.trainable()
    frozen = [n for n, _ in run.net.named_parameters() if n not in moved]
    assert same_bits({n: before[n] for n in frozen}, {n: weights(run)[n] for n in frozen})
    expected = torch.softmax(outputs(run.net, recipe.task.encode(HELD, run.net.body)).double(), -1).numpy()
    folder = save_network(tmp_path / "bundle", run.net, recipe, ROWS.schema, {}, "# x\n")
    np.testing.assert_allclose(Bundle.load(folder).answer(HELD).probabilities, expected, rtol=0, atol=1e-5)
