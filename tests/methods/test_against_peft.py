"""Methods against PEFT driven by hand: the same start, the same rows, the same weights to 1e-5 in 32 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from by_hand import PLAN, assert_same, both

from text_samples import labelled
from tiny_models import NO_PREFIXES, peft_puts_prefixes_into_bert

ROWS = labelled(40)
LINEARS = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "layer.0.output.dense"]
LINEARS += ["layer.1.output.dense"]
WHOLE: dict[str, Any] = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier"]}


def lora(**more: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(target_modules=LINEARS, lora_alpha=16, **WHOLE, **more)


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("lora:r=4,lora_alpha=16", {"r": 4}),
        ("lora:r=4,lora_alpha=16,use_rslora=true", {"r": 4, "use_rslora": True}),
        ("lora:r=4,lora_alpha=16,use_dora=true", {"r": 4, "use_dora": True}),
    ],
)
def test_lora(method: str, config: dict[str, Any], tiny_encoder: Path) -> None:
    run, model = both(tiny_encoder, ROWS, method, lora(**config))
    assert_same(run, model)
    moved = run.net.trainable()["body.model.bert.encoder.layer.0.attention.self.query.lora_B.default.weight"]
    assert float(moved.detach().abs().max()) > 1e-3


def test_ia3(tiny_encoder: Path) -> None:
    from peft import IA3Config

    inner = [f"layer.{i}.output.dense" for i in range(2)]
    config = IA3Config(target_modules=["key", "value", *inner], feedforward_modules=inner, **WHOLE)
    assert_same(*both(tiny_encoder, ROWS, "ia3", config))


def test_ln_tuning(tiny_encoder: Path) -> None:
    from peft import LNTuningConfig

    assert_same(*both(tiny_encoder, ROWS, "ln_tuning", LNTuningConfig(target_modules=["LayerNorm"], **WHOLE)))


@pytest.mark.parametrize("name", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_prompts_and_prefixes(name: str, tiny_encoder: Path) -> None:
    import peft

    method = "prompt_tuning" if name == "PromptTuningConfig" else "prefix_tuning"
    if method == "prefix_tuning" and not peft_puts_prefixes_into_bert():
        pytest.skip(NO_PREFIXES)
    config = getattr(peft, name)(task_type="SEQ_CLS", num_virtual_tokens=4)
    run, model = both(tiny_encoder, ROWS, f"{method}:num_virtual_tokens=4", config)
    assert_same(run, model)


def test_adalora(tiny_encoder: Path) -> None:
    """Schedule, importance, allocation and penalty are PEFT's; it adds the penalty to the loss by itself."""
    from peft import AdaLoraConfig

    schedule = {"tinit": 3, "tfinal": 6, "deltaT": 2}
    config = AdaLoraConfig(
        init_r=6, target_r=4, lora_alpha=16, target_modules=LINEARS, total_step=PLAN["max_steps"], **schedule, **WHOLE
    )
    words = ",".join(f"{name}={value}" for name, value in schedule.items())
    run, model = both(
        tiny_encoder,
        ROWS,
        f"adalora:init_r=6,target_r=4,lora_alpha=16,{words}",
        config,
        lambda model, step: model.base_model.update_and_allocate(step),
    )
    assert_same(run, model)
    pattern = model.base_model.peft_config["default"].rank_pattern
    theirs = {name.removesuffix(".lora_E.default"): sum(inside) for name, inside in pattern.items()}
    ranks = {name.removeprefix("model."): rank for name, rank in run.recipe.method.facts(run.net)["ranks"].items()}
    assert ranks == theirs
    assert sum(ranks.values()) == 4 * 12
    assert len(set(ranks.values())) > 1
    assert torch.is_tensor(run.recipe.method.penalty(run.net))
