"""The reference: plain transformers, plain PEFT and torch's own AdamW, driven by hand on the rows that Sartor takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sartor.data.rows import Rows
from sartor.engine.fit import rate
from sartor.engine.order import epoch_batches
from tiny_runs import begun, recipe, steps

Hook = Callable[[Any, int], None]
PLAN: dict[str, Any] = {"max_steps": 20, "learning_rate": 2e-3, "weight_decay": 0.05, "max_grad_norm": 0.5}


def both(
    encoder: Path, rows: Rows, method: str, config: Any, after_step: Hook | None = None, **plan: Any
) -> tuple[Any, Any]:
    """(Sartor's run, PEFT's model), both trained from the same start on the same rows."""
    made = recipe(encoder, rows, method, "native", **(PLAN | plan))
    run, encoded = begun(made, rows)
    model = theirs(encoder, config, run)
    list(steps(run, encoded))
    drive(model, encoded, made, after_step)
    return run, model


def theirs(encoder: Path, config: Any, run: Any) -> Any:
    """PEFT's model on the folder's own, with every weight that Sartor's run begins with."""
    from peft import get_peft_model
    from transformers import AutoModelForSequenceClassification

    from sartor.pretrained.text import quiet

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=3, ignore_mismatched_sizes=True, attn_implementation="eager"
        )
        model = get_peft_model(plain, config)
    start = {name: w for name, w in run.net.state_dict().items() if name in run.net.trainable()}
    with torch.no_grad():
        for name, weight in matched(model, start).items():
            weight.copy_(start[name])
    return model


def matched(model: Any, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our name of a weight that moves -> PEFT's weight. Whatever moves there must move here."""
    known = {name.removeprefix("base_model.model."): p for name, p in model.named_parameters() if p.requires_grad}
    known = {name.removeprefix("base_model."): p for name, p in known.items()}
    renamed = {_theirs(name): name for name in ours}
    assert renamed.keys() == known.keys()
    return {renamed[name]: p for name, p in known.items()}


def _theirs(name: str) -> str:
    if name.endswith((".prompts", "prefixes.weight")):
        return "prompt_encoder.default.embedding.weight"
    return name.removeprefix("body.model.").replace("head.", "classifier.modules_to_save.default.")


def drive(model: Any, encoded: Any, made: Any, after_step: Hook | None) -> None:
    """The plan's updates: the mean loss of a batch, the norm cut, decay of matrices alone, the plan's rate."""
    plan = made.plan
    total = plan.max_steps
    moving = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in moving if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in moving if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0)
    batches = [b for epoch in range(99) for b in epoch_batches(encoded.rows, 8, plan.seed, epoch)][:total]
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for step, places in enumerate(batches, 1):
        batch = encoded.take(places)
        model(**batch.padded({"input_ids": 0}), labels=batch.targets).loss.backward()
        nn.utils.clip_grad_norm_(moving, plan.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate(plan, step - 1, total)
        optimizer.step()
        if after_step is not None:
            after_step(model, step)
        optimizer.zero_grad()


def assert_same(run: Any, model: Any, start: dict[str, Tensor] | None = None) -> None:
    """Every weight that moves, to 1e-5."""
    ours = {name: w.detach() for name, w in run.net.trainable().items()}
    for name, weight in matched(model, ours).items():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
