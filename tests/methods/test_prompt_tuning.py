"""Prompt tuning and prefix tuning: what moves, how they begin, what they refuse, and training as PEFT's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sartor.engine.account import account, in_words
from sartor.engine.features import outputs
from sartor.engine.train import prepare, solve
from sartor.errors import BadInput
from sartor.methods.prefix_tuning import PrefixTuning
from sartor.methods.prompt_tuning import PromptTuning
from text_samples import labelled
from tiny_runs import begun, examples, recipe, steps, weights

ROWS = labelled(24)
PROMPT, PREFIX = "prompt_tuning:num_virtual_tokens=3", "prefix_tuning:num_virtual_tokens=3"


@pytest.mark.parametrize(("method", "count"), [(PROMPT, 3 * 32), (PREFIX, 3 * 2 * 2 * 32)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_what_is_in_front_and_the_head_move(method: str, count: int, precision: str, tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, method, max_steps=4, learning_rate=1e-2, precision=precision, dropout=0.1)
    run, encoded = begun(made, ROWS)
    before = weights(run)
    list(steps(run, encoded))
    moved = {name for name, value in weights(run).items() if not torch.equal(value, before[name])}
    assert moved == set(run.net.trainable())
    assert sum(p.numel() for p in run.net.trainable().values()) == count + 3 * 32 + 3
    assert run.depth == 0


def test_prompts_begin_as_words(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, PROMPT, max_steps=1), ROWS)
    table = run.net.body.get_submodule(run.net.body.words)
    for row in table.prompts.detach():
        assert (table.base_layer.weight == row).all(1).any()


def test_a_prefix_begins_as_words_in_front(tiny_encoder: Path) -> None:
    """The row's own tokens then have the features that they have behind these words in the frozen network."""
    made = recipe(tiny_encoder, ROWS, PREFIX, max_steps=1)
    run, encoded = begun(made, ROWS)
    with torch.random.fork_rng():
        torch.manual_seed(made.plan.seed)
        plain: Any = made.backbone.build(made.task.layout).eval()
        made.task.head(plain)
        words = torch.randint(plain.config.vocab_size, (3,), dtype=torch.int32)
    one = encoded.take(torch.tensor([0]))
    ids = torch.cat([words, one.sequences["input_ids"]]).long()[None]
    size = len(words) + int(one.lengths)
    alone = torch.zeros(1, 1, size, size).masked_fill(
        torch.arange(size)[:, None].lt(3) & torch.arange(size).ge(3), -1e9
    )
    with torch.no_grad():
        hidden = plain.model(input_ids=ids, attention_mask=alone).last_hidden_state[:, 3:]
        found = run.net.body.eval().model(
            input_ids=ids[:, 3:], position_ids=torch.arange(3, size)[None], attention_mask=torch.ones(1, size - 3)
        )
    torch.testing.assert_close(found.last_hidden_state, hidden, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [PROMPT, PREFIX])
def test_a_head_solved_without_what_is_in_front_is_no_start(method: str, tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, method, head_start="solved", max_steps=1)
    encoded = examples(made, ROWS)
    foreign = solve(made, encoded, torch.randn(len(encoded), 32), made.backbone.build(made.task.layout))
    alone, given = prepare(made, encoded), prepare(made, encoded, foreign)
    assert torch.equal(alone.net.head.weight, given.net.head.weight)
    assert given.start is not foreign.chosen
    plain = recipe(tiny_encoder, ROWS, "lora:r=2", head_start="solved", max_steps=1)
    assert prepare(plain, encoded, foreign).start is foreign.chosen


def test_the_record_says_what_stands_before_rows_and_what_that_costs(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "prompt_tuning:num_virtual_tokens=20", max_steps=1)
    long = labelled(24)
    long.columns["text"][0] = " ".join(["cat"] * 60)
    run, encoded = begun(made, long)
    told = account(run, encoded)
    assert (told["rows"], told["in_front"], told["shortened"]) == ("packed", 20, 1)
    assert "20 tokens before every row, 1 rows are cut to make room" in in_words(told)
    assert outputs(run.net, encoded).isfinite().all()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "prompt_tuning:num_virtual_tokens=21",
            "error[FRONT_ROOM]: prompt_tuning.num_virtual_tokens is 21 and the network reads 40 tokens. "
            "Fix: give at most 20.",
        ),
        (
            "prefix_tuning:num_virtual_tokens=0",
            "error[VALUE_RANGE]: prefix_tuning.num_virtual_tokens is 0. Fix: give at least 1.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(method: str, said: str, tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, method, max_steps=1), ROWS)
    assert str(raised.value) == said


def test_networks_that_read_no_words_are_refused() -> None:
    net: Any = nn.Module()
    net.body = nn.Sequential(nn.Linear(3, 3))
    net.body.words = ""
    said = {}
    for method in (PromptTuning(), PrefixTuning()):
        with pytest.raises(BadInput) as raised:
            method.apply(net, 1)
        said[method.name] = str(raised.value)
    assert said == {
        "prompt_tuning": "error[PROMPT_WORDS]: prompt_tuning puts words before a row's own, and this network reads "
        "none. Fix: use a method for any network: lora or bitfit.",
        "prefix_tuning": "error[PREFIX_ATTENTION]: prefix_tuning adds to what every attention sees, and to this "
        "network's nothing can be added. Fix: use a method for any network: lora or bitfit.",
    }


def test_what_does_not_fold_is_saved_as_what_changed(tiny_encoder: Path, tmp_path: Path) -> None:
    from sartor.bundle import save_network

    for method in (PROMPT, PREFIX):
        run, _ = begun(recipe(tiny_encoder, ROWS, method, "native", max_steps=1), ROWS)
        with pytest.raises(BadInput, match="does not fold into the backbone"):
            save_network(tmp_path / "whole", run.net, run.recipe, ROWS.schema, {}, "", "merged")
        folder = save_network(tmp_path / method[:6], run.net, run.recipe, ROWS.schema, {}, "")
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        assert (config["num_virtual_tokens"], config["task_type"]) == (3, "SEQ_CLS")
        assert sum(f.stat().st_size for f in folder.glob("*.safetensors")) < 8000
