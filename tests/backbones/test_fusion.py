"""Bodies joined: what is missing, what is left out in training, what stands where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from image_samples import pictured
from pair_samples import described
from sartor.errors import BadInput
from sartor.part import part
from sartor.recipe import Plan
from text_samples import task_of
from tiny_runs import begun, steps

READ = ["a cat", "one dog near the hammer", "", "bread"]
PHOTOS = [*pictured(2).columns["image"], None, None]


def fused(folder: Path, how: str = "late", layout: str = "row", **settings: Any) -> Any:
    said = "".join(f",{name}={value}" for name, value in settings.items())
    of = f"(encoder:path={folder},pooling=mean)+(convnet:size=tiny,image_size=32,augment=)"
    backbone: Any = part("backbones", f"fusion:of={of},how={how},width=16{said}")
    return backbone.build(layout).eval()


@pytest.mark.parametrize("how", ["late", "cross"])
def test_what_is_missing_changes_nothing_of_the_others(how: str, tiny_encoder: Path) -> None:
    """A row without a photo is answered by its text, as if photos did not exist, and by the learned vector."""
    body = fused(tiny_encoder, how)
    together = body(body.encode({"text": READ, "image": PHOTOS}))
    alone = body(body.encode({"text": [READ[3]], "image": [None]}))
    torch.testing.assert_close(together[3:], alone, rtol=1e-4, atol=1e-5)
    body.absent[1].data += 1
    moved = body(body.encode({"text": READ, "image": PHOTOS}))
    assert torch.equal(moved[:2], together[:2])
    assert (moved[2:] - together[2:]).abs().max() > 0.1


def test_a_row_without_anything_is_answered(tiny_encoder: Path) -> None:
    body = fused(tiny_encoder, "cross")
    assert body(body.encode({"text": ["", " "], "image": [None, None]})).isfinite().all()


def test_late_features_are_those_of_the_bodies_normed(tiny_encoder: Path) -> None:
    body, columns = fused(tiny_encoder), {"text": READ[:2], "image": PHOTOS[:2]}
    found = body(body.encode(columns))
    text, image = body.bodies
    expected = torch.cat(
        [
            torch.nn.functional.layer_norm(one(one.encode({k: columns[k]})), (one.width,))
            for one, k in ((text, "text"), (image, "image"))
        ],
        1,
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_places_beyond_a_row_are_not_looked_at(tiny_encoder: Path) -> None:
    """A short text says the same beside a long one."""
    body = fused(tiny_encoder, "cross")
    long = " ".join(["the hammer"] * 10)
    beside = body(body.encode({"text": ["a cat", long], "image": PHOTOS[:2]}))
    alone = body(body.encode({"text": ["a cat"], "image": PHOTOS[:1]}))
    torch.testing.assert_close(beside[:1], alone, rtol=1e-4, atol=1e-5)


def test_training_leaves_out_a_share_never_all_and_by_the_rows_number(tiny_encoder: Path) -> None:
    body = fused(tiny_encoder, drop=0.3)
    batch = body.encode({"text": READ[:2] * 500, "image": PHOTOS[:2] * 500})
    seen = body.augment(batch, 5)
    gone = torch.stack([seen.dense["0 absent"], seen.dense["1 absent"]], 1)
    assert not gone.all(1).any()
    assert gone.float().mean(0).tolist() == pytest.approx([0.3 - 0.09] * 2, abs=0.05)
    some = torch.tensor([900, 3])
    again = body.augment(batch.take(some), 5)
    assert torch.equal(again.dense["0 absent"], seen.dense["0 absent"][some])
    assert not torch.equal(body.augment(batch, 6).dense["0 absent"], seen.dense["0 absent"])
    untouched = fused(tiny_encoder, drop=0.0).augment(batch, 5)
    assert not untouched.dense["0 absent"].any()


def test_pairs_keep_both_their_sides(tiny_encoder: Path) -> None:
    body = fused(tiny_encoder, layout="sides", drop=0.5)
    batch = body.encode({"text": READ[:2], "image": PHOTOS[:2]})
    assert not body.augment(batch, 1).dense["0 absent"].any()
    found = body(batch)
    assert found.shape == (4, 16)
    other = body(body.encode({"text": ["another", "text"], "image": PHOTOS[:2]}))
    assert torch.allclose(found[1::2], other[1::2], atol=1e-5)
    assert not torch.allclose(found[0::2], other[0::2], atol=1e-3)


def test_pretrained_bodies_move_more_slowly_than_those_drawn_anew(tiny_encoder: Path) -> None:
    backbone: Any = part(
        "backbones", f"fusion:of=(encoder:path={tiny_encoder})+(convnet:size=tiny),pretrained_rate=0.1"
    )
    plan = backbone.plan(Plan())
    assert plan.head_start == "random"
    assert plan.learning_rate == 2e-3
    rates = backbone.build("row").rates()
    assert {v for n, v in rates.items() if n.startswith("bodies.0.")} == {0.1}
    assert {v for n, v in rates.items() if n.startswith("bodies.1.")} == {1.0}


def test_it_learns_what_no_side_knows_alone(tiny_encoder: Path) -> None:
    """Half of the label stands in the text, half in the image."""
    rows = described(200)
    of = f"(encoder:path={tiny_encoder},pooling=mean)+(convnet:size=tiny,image_size=32,augment=)"
    backbone: Any = part("backbones", f"fusion:of={of},drop=0.0,pretrained_rate=1")
    made: Any = {"method": part("methods", "full"), "objective": part("objectives", "supervised")}
    plan = Plan(per_device_train_batch_size=20, max_steps=60, precision="fp32", dropout=0.0)
    from sartor.recipe import Recipe

    recipe = Recipe(task=task_of(rows), backbone=backbone, plan=plan, **made).settled()
    run, encoded = begun(recipe, rows)
    losses = [step.loss for step in steps(run, encoded)]
    assert np.mean(losses[-5:]) < 0.6 * np.log(9)


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("fusion:of=minilm", "FUSION_FEW"),
        ("fusion:of=convnet+vit", "FUSION_TWICE.*convnet and vit both read columns of kind image"),
        ("fusion:width=10", "VALUE_RANGE"),
        ("fusion:drop=1", "VALUE_RANGE"),
    ],
)
def test_what_cannot_be_joined_is_refused(spelled: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        part("backbones", spelled)


def test_what_joins_them_is_read_or_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    body = fused(tiny_encoder)
    body.save(tmp_path, torch.nn.Linear(body.width, 3), {"num_labels": 3})
    (tmp_path / "fusion.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="FUSION_FILE"):
        fused(tiny_encoder).restore(tmp_path)
