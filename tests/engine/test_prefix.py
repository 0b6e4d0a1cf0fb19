"""The frozen prefix: the same losses from the cache, found again by content, and never a wrong or a half one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.engine import prefix
from sartor.engine.prefix import PrefixCache, content
from sartor.engine.train import Run, prepare, read, train
from text_samples import labelled
from tiny_runs import begun, examples, recipe, same_bits, weights

ROWS = labelled(37)
LATE = "lora:r=4,last=1"


@pytest.fixture
def made(tiny_sentence_encoder: Path) -> Callable[..., Any]:
    return lambda method=LATE, **plan: recipe(tiny_sentence_encoder, ROWS, method, **{"max_steps": 12, **plan})


def went(run: Run, encoded: Any) -> list[float]:
    return [
        e.loss if hasattr(e, "loss") else sum(e.scores.metrics.values()) for e in train(run, encoded, encoded, ROWS)
    ]


@pytest.mark.parametrize(("method", "depth"), [("full", 0), ("lora:r=4", 0), (LATE, 1)])
def test_the_depth_follows_from_what_moves(made: Any, method: str, depth: int) -> None:
    run, _ = begun(made(method), ROWS)
    assert run.depth == depth


def test_training_from_the_cache_is_training(made: Any) -> None:
    """Without dropout: losses and looks as if every block had run, to rounding."""
    cached, encoded = begun(made(), ROWS)
    plain, _ = begun(made(prefix_cache="off"), ROWS)
    assert (cached.depth, plain.depth) == (1, 0)
    assert went(cached, encoded) == pytest.approx(went(plain, encoded), rel=1e-5)
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(cached)[name], value, rtol=1e-3, atol=1e-5)
    assert "hidden" in read(cached, encoded).sequences


def test_the_frozen_blocks_run_once(made: Any) -> None:
    run, encoded = begun(made(num_train_epochs=3.0), ROWS)
    tokens: list[int] = []
    run.net.body.blocks()[0].register_forward_hook(lambda _, words, out: tokens.append(out.shape[1]))
    went(run, encoded)
    rounded = -(-int(encoded.lengths.sum()) // 64) * 64
    assert sum(tokens) == rounded


def test_the_cache_is_of_the_plans_precision(made: Any) -> None:
    run, encoded = begun(made(precision="bf16"), ROWS)
    assert read(run, encoded).sequences["hidden"].dtype == torch.bfloat16


def test_another_seed_and_another_candidate_find_it(made: Any) -> None:
    cache = PrefixCache()
    encoded = examples(made(), ROWS)
    found = []
    for other in (made(), made(seed=5), made("lora:r=2,last=1", learning_rate=1e-2)):
        run = prepare(other, encoded, prefixes=cache)
        found.append(read(run, encoded).sequences["hidden"])
    assert len(cache.kept) == 1
    assert found[0] is found[1] is found[2]


def test_it_is_known_by_its_content(made: Any) -> None:
    run, encoded = begun(made(), ROWS)
    body = run.net.body
    known = content(body, encoded, 1, "fp32")
    assert content(body, encoded, 1, "fp32") == known
    others = [content(body, encoded, 1, "bf16"), content(body, encoded.take(torch.arange(36)), 1, "fp32")]
    others.append(content(body, encoded, 0, "fp32"))
    with torch.no_grad():
        body.blocks()[1].get_parameter("output.LayerNorm.bias").add_(1.0)
    assert content(body, encoded, 1, "fp32") == known
    with torch.no_grad():
        body.blocks()[0].get_parameter("output.LayerNorm.bias")[0] += 1e-6
    others.append(content(body, encoded, 1, "fp32"))
    assert len({known, *others}) == 5


def large(folder: Path) -> PrefixCache:
    """A cache that keeps nothing in memory."""
    return PrefixCache(limit=0, folder=folder / "made" / "prefix")


def test_what_is_too_large_for_memory_is_mapped(made: Any, tmp_path: Path) -> None:
    encoded = examples(made(), ROWS)
    inside, outside = PrefixCache(), large(tmp_path)
    hidden = [read(prepare(made(), encoded, prefixes=c), encoded).sequences["hidden"] for c in (inside, outside)]
    assert torch.equal(*hidden)
    assert (len(inside.kept), len(outside.kept)) == (1, 0)
    assert sorted(f.suffix for f in (tmp_path / "made" / "prefix").iterdir()) == [".bin", ".json"]


@pytest.mark.parametrize("how", ["cut off", "one bit", "another's", "no note", "torn note"])
def test_a_file_that_is_not_whole_is_made_again(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    encoded, cache = examples(made(), ROWS), large(tmp_path)
    run = prepare(made(), encoded, prefixes=cache)
    right = read(run, encoded).sequences["hidden"].clone()
    file, note = (next((tmp_path / "made" / "prefix").glob(f"*.{end}")) for end in ("bin", "json"))
    bits = bytearray(file.read_bytes())
    if how == "cut off":
        file.write_bytes(bits[:-4])
    if how == "one bit":
        bits[7] ^= 1
        file.write_bytes(bits)
    if how == "another's":
        note.write_text(json.dumps(json.loads(note.read_text()) | {"content": "0" * 64}))
    if how == "no note":
        note.unlink()
    if how == "torn note":
        note.write_text(note.read_text()[:40])
    computed: list[int] = []
    real = prefix._computed
    monkeypatch.setattr(prefix, "_computed", lambda *words: (computed.append(1), real(*words))[1])
    assert torch.equal(read(prepare(made(), encoded, prefixes=cache), encoded).sequences["hidden"], right)
    assert computed == [1]
    assert torch.equal(read(prepare(made(), encoded, prefixes=cache), encoded).sequences["hidden"], right)
    assert computed == [1]


def test_a_write_that_is_interrupted_leaves_nothing(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, cache = examples(made(), ROWS), large(tmp_path)
    run = prepare(made(), encoded, prefixes=cache)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prefix, "sync", killed)
        with pytest.raises(KeyboardInterrupt):
            read(run, encoded)
    assert list((tmp_path / "made" / "prefix").iterdir()) == []
    assert "hidden" in read(run, encoded).sequences


def test_a_file_that_nobody_asked_for_in_a_month_is_removed(made: Any, tmp_path: Path) -> None:
    encoded, cache = examples(made(), ROWS), large(tmp_path)
    read(prepare(made(), encoded, prefixes=cache), encoded)
    (old,) = (tmp_path / "made" / "prefix").glob("*.bin")
    month = 31 * 86_400.0
    os.utime(old, (time.time() - month, time.time() - month))
    other = examples(made(), labelled(20, 1))
    read(prepare(made(), other, prefixes=cache), other)
    assert not old.exists() and not old.with_suffix(".json").exists()
    assert len(list((tmp_path / "made" / "prefix").iterdir())) == 2


def test_the_content_knows_how_weights_are_used(made: Any) -> None:
    encoded = examples(made(), ROWS)
    body = prepare(made(), encoded).net.body
    before = content(body, encoded, 1, "fp32")
    body.config.num_attention_heads *= 2
    assert content(body, encoded, 1, "fp32") != before


def test_without_room_anywhere_every_block_runs(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, cache = examples(made(), ROWS), large(tmp_path)
    monkeypatch.setattr(prefix.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    run = prepare(made(), encoded, prefixes=cache)
    assert read(run, encoded) is encoded
    assert list(tmp_path.iterdir()) == []


def test_dropout_inside_the_prefix_is_off_and_behind_it_is_on(made: Any) -> None:
    dropped = replace(made(), plan=replace(made().plan, dropout=0.5))
    runs = [begun(dropped, ROWS) for _ in range(2)]
    hidden = [read(run, encoded).sequences["hidden"] for run, encoded in runs]
    assert torch.equal(*hidden)
    with torch.no_grad():
        run, encoded = runs[0]
        run.net.train()
        behind = read(run, encoded)
        assert not torch.equal(run.net(behind), run.net(behind))


def test_the_same_recipe_from_the_cache_gives_the_same_bits(made: Any) -> None:
    ends = []
    for _ in range(2):
        run, encoded = begun(made(dropout=0.3), ROWS)
        went(run, encoded)
        ends.append(weights(run))
    assert same_bits(*ends)
