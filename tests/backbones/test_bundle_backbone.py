"""A bundle as a backbone: its body, verified, with the head left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.backbone import Backbone
from sartor.bundle import Bundle, save_baseline, save_network
from sartor.errors import BadInput
from sartor.part import part, part_from_json
from sartor.recipe import Recipe
from sartor.saving import reopen
from text_samples import labelled, measured, task_of
from tiny_runs import begun, recipe, same_bits, steps


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def backbone(folder: Path) -> Any:
    found = part("backbones", f"bundle:path={folder}")
    assert isinstance(found, Backbone)
    return found


def refusal(call: Callable[[], object], folder: Path) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value).replace(str(folder), "bundle")


def test_its_body_is_the_trained_one(folder: Path) -> None:
    made, bundle = backbone(folder), Bundle.load(folder)
    trained = reopen(folder, Recipe.from_json(bundle.recipe)).body.state_dict()
    assert same_bits(made.build("row").state_dict(), trained)
    untrained = made.of.build("row").state_dict()
    assert not same_bits(trained, untrained)


def test_it_reads_what_its_own_backbone_reads(folder: Path) -> None:
    made = backbone(folder)
    assert made.of.name == "encoder"
    assert made.reads == frozenset({"text", "tokens"})
    assert made.layouts == made.of.layouts


def test_what_is_trained_from_it_opens_without_it(folder: Path, tmp_path: Path) -> None:
    rows = measured(30)
    made = recipe(folder, rows, "lora:r=2", max_steps=3)
    made = type(made)(**{**vars(made), "backbone": backbone(folder), "task": task_of(rows)})
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    save_network(tmp_path / "next", run.net, run.recipe, rows.schema, {}, "")
    shutil.rmtree(folder)
    bundle = Bundle.load(tmp_path / "next")
    assert len(bundle.predict(["a cat", "bread"])) == 2
    assert bundle.recipe["backbone"]["of"]["part"] == "encoder"
    with torch.no_grad():
        again = part_from_json("backbones", bundle.recipe["backbone"]).reopen(tmp_path / "next", "row")  # type: ignore[attr-defined]
        torch.testing.assert_close(again.eval()(encoded), run.net.body(encoded), rtol=0, atol=1e-5)


def test_a_bundle_from_a_bundle_is_a_backbone_too(folder: Path, tmp_path: Path) -> None:
    rows = labelled(20)
    made = recipe(folder, rows, "probe")
    made = type(made)(**{**vars(made), "backbone": backbone(folder)}).settled()
    run, _ = begun(made, rows)
    save_network(tmp_path / "next", run.net, run.recipe, rows.schema, {}, "")
    second = backbone(tmp_path / "next")
    assert second.of == made.backbone
    assert same_bits(second.build("row").state_dict(), made.backbone.build("row").state_dict())


@pytest.mark.parametrize("method", ["lora:r=2", "adapter"])
def test_a_bundle_of_what_changed_is_folded_or_refused(tiny_encoder: Path, tmp_path: Path, method: str) -> None:
    rows = labelled(20)
    run, encoded = begun(recipe(tiny_encoder, rows, method, max_steps=3), rows)
    list(steps(run, encoded))
    with torch.no_grad():
        expected = run.net.body(encoded)
    folder = save_network(tmp_path / "bundle", run.net, run.recipe, rows.schema, {}, "", "changed")
    if method == "adapter":
        assert refusal(lambda: backbone(folder).build("row"), folder) == (
            "error[BACKBONE_INSERTED]: bundle: what adapter inserted does not fold into the body. "
            f"Fix: train from {run.recipe.backbone.spelled()}."
        )
        return
    made = backbone(folder)
    body = made.build("row").eval()
    assert body.state_dict().keys() == made.of.build("row").state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(body(encoded), expected, rtol=0, atol=1e-5)
    assert refusal(lambda: made.build("token"), folder).startswith(
        "error[BACKBONE_LAYOUT]: bundle: what changed is kept"
    )


def test_changed_weights_are_refused(folder: Path) -> None:
    made = backbone(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert refusal(lambda: made.build("row"), folder) == (
        "error[BUNDLE_HASH]: bundle: 'model.safetensors' was changed after the bundle was made. "
        "Fix: copy the bundle again from where it was made."
    )


def test_another_bundle_in_its_place_is_refused(folder: Path) -> None:
    made = backbone(folder)
    other = Bundle.load(folder)
    from sartor.bundle import with_card

    with_card(folder, folder, {**other.card, "more": 1}, "# other\n")
    assert refusal(lambda: made.build("row"), folder) == (
        "error[BACKBONE_CHANGED]: bundle: another bundle lies here than the run began from. "
        "Fix: start again, or bring back the bundle that was there."
    )


def test_the_bundle_of_a_baseline_is_refused(tmp_path: Path) -> None:
    rows = labelled(30)
    baseline: Any = part("baselines", "majority")
    task = task_of(rows)
    save_baseline(tmp_path / "bundle", task, baseline, baseline.fit(task, rows), rows.schema, {}, "")
    assert refusal(lambda: backbone(tmp_path / "bundle"), tmp_path / "bundle") == (
        "error[BACKBONE_BASELINE]: bundle: the bundle is of the baseline majority, which has no body. "
        "Fix: give the bundle of a network, such as one that `sartor finetune` wrote."
    )


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    assert refusal(lambda: backbone(tiny_encoder), tiny_encoder) == (
        "error[BUNDLE_NONE]: bundle: this is no Sartor bundle: sartor/recipe.json cannot be read. "
        "Fix: give the folder that `sartor finetune` or `sartor position` wrote, such as runs/NAME/bundle."
    )
    assert refusal(lambda: part("backbones", "bundle").build("row"), tmp_path) == (  # type: ignore[attr-defined]
        "error[BACKBONE_PATH]: the bundle has no path. "
        "Fix: write --backbone bundle:path=FOLDER, such as bundle:path=runs/reviews/bundle."
    )
