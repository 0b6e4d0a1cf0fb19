"""What changed, alone on disk: plain PEFT reads it, several share one backbone, and another backbone is refused."""

from __future__ import annotations

import json
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import tiny_models
from sartor import saving
from sartor.bundle import Bundle, open_together, save_network
from sartor.data.rows import Rows
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.recipe import Recipe
from sartor.saving import BACKBONE, CHANGED, reopen, reopen_together
from text_samples import labelled
from tiny_models import NO_PREFIXES, peft_puts_prefixes_into_bert
from tiny_runs import begun, recipe, steps

ROWS, HELD = labelled(32), labelled(16, 1)
MODELS: dict[str, Callable[[Path], Path]] = {
    "bert": tiny_models.bert,
    "roberta": tiny_models.roberta,
    "distilbert": tiny_models.distilbert,
    "modernbert": tiny_models.modernbert,
}


def trained(encoder: Path, method: str, pooling: str = "native", rows: Rows = ROWS, seed: int = 0) -> Run:
    run, encoded = begun(recipe(encoder, rows, method, pooling, max_steps=3, learning_rate=5e-3, seed=seed), rows)
    if run.state is not None:
        list(steps(run, encoded))
    return run


def saved(folder: Path, run: Run) -> Path:
    return save_network(folder, run.net, run.recipe, ROWS.schema, {}, "", "changed")


def answers(net: Any, made: Recipe, rows: Rows = HELD) -> Tensor:
    return outputs(net, made.task.encode(rows, net.body))


def plain_peft(encoder: Path, folder: Path, kind: str, **more: Any) -> tuple[Any, dict[str, Tensor]]:
    """The base model by transformers, the adapter by PEFT, and rows by the base model's tokenizer."""
    import transformers
    from peft import PeftModel

    from sartor.pretrained.text import quiet

    with quiet():
        base = getattr(transformers, kind).from_pretrained(encoder, **more)
        tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    with warnings.catch_warnings():  # PEFT asks transformers by a name that transformers has since changed
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", "Specified to not (save|load) vera_A|Unsupported layer type")
        model = PeftModel.from_pretrained(base, folder).eval()
    texts = [pair[0] for pair in HELD.texts()]
    return model, tokenizer(texts, padding=True, truncation=True, max_length=tiny_models.POSITIONS, return_tensors="pt")


@pytest.mark.parametrize("model", MODELS)
def test_plain_peft_answers_the_same_where_the_head_is_the_architectures(model: str, tmp_path: Path) -> None:
    encoder = MODELS[model](tmp_path / "model")
    run = trained(encoder, "lora:r=3")
    before = answers(run.net, run.recipe)
    folder = saved(tmp_path / "bundle", run)
    theirs, inputs = plain_peft(
        encoder, folder, "AutoModelForSequenceClassification", num_labels=3, ignore_mismatched_sizes=True
    )
    with torch.no_grad():
        torch.testing.assert_close(theirs(**inputs).logits, before, rtol=0, atol=1e-5)
    assert not (folder / CHANGED).exists()
    torch.testing.assert_close(answers(reopen(folder, run.recipe), run.recipe), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "method",
    [
        "lora:r=3,use_dora=true",
        "adalora:init_r=4,target_r=2",
        "ia3",
        "ln_tuning",
        "vera:r=8",
        "oft",
        "prompt_tuning",
        "prefix_tuning",
    ],
)
def test_plain_peft_knows_every_method_of_its_own(method: str, tiny_encoder: Path, tmp_path: Path) -> None:
    if method == "prefix_tuning" and not peft_puts_prefixes_into_bert():
        pytest.skip(NO_PREFIXES)
    run = trained(tiny_encoder, method)
    before = answers(run.net, run.recipe)
    folder = saved(tmp_path / "bundle", run)
    theirs, inputs = plain_peft(
        tiny_encoder, folder, "AutoModelForSequenceClassification", num_labels=3, ignore_mismatched_sizes=True
    )
    with torch.no_grad():
        torch.testing.assert_close(theirs(**inputs).logits, before, rtol=0, atol=1e-5)
    torch.testing.assert_close(answers(reopen(folder, run.recipe), run.recipe), before, rtol=0, atol=1e-6)


def test_plain_peft_gives_the_same_token_vectors_where_the_mean_is_read(tiny_encoder: Path, tmp_path: Path) -> None:
    run = trained(tiny_encoder, "lora:r=3", "mean")
    folder = saved(tmp_path / "bundle", run)
    assert set(load_file(folder / CHANGED)) == {"head.weight", "head.bias"}
    theirs, inputs = plain_peft(tiny_encoder, folder, "AutoModel")
    with torch.no_grad():
        hidden = theirs(**inputs).last_hidden_state
        ours = run.net.body.model(**inputs).last_hidden_state
    torch.testing.assert_close(hidden, ours, rtol=0, atol=1e-5)


def test_a_layer_that_was_drawn_is_stored(tmp_path: Path) -> None:
    """A pooler that the folder does not have differs from run to run: it goes with what changed."""
    encoder = without_heads(tiny_models.bert(tmp_path / "model"))
    run = trained(encoder, "lora:r=2", seed=5)
    before = answers(run.net, run.recipe)
    folder = saved(tmp_path / "bundle", run)
    assert "base_model.model.bert.pooler.dense.weight" in load_file(folder / "adapter_model.safetensors")
    torch.testing.assert_close(answers(reopen(folder, run.recipe), run.recipe), before, rtol=0, atol=1e-6)
    theirs, inputs = plain_peft(
        encoder, folder, "AutoModelForSequenceClassification", num_labels=3, ignore_mismatched_sizes=True
    )
    with torch.no_grad():
        torch.testing.assert_close(theirs(**inputs).logits, before, rtol=0, atol=1e-5)


def without_heads(folder: Path) -> Path:
    weights = load_file(folder / "model.safetensors")
    kept = {name: w for name, w in weights.items() if "pooler" not in name and "classifier" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(("method", "stored"), [("probe", 0), ("bitfit:last=1", 8), ("full", 40)])
def test_only_what_moved_is_stored(method: str, stored: int, tiny_encoder: Path, tmp_path: Path) -> None:
    run = trained(tiny_encoder, method)
    folder = saved(tmp_path / "bundle", run)
    found = load_file(folder / CHANGED)
    moved = set(run.net.trainable())
    assert {"head.weight", "head.bias"} <= set(found) <= moved
    assert len(found) - 2 <= max(stored, 0)
    facts = json.loads((folder / BACKBONE).read_text("utf-8"))
    state = run.net.body.state_dict()
    assert facts["tensors"] + len(found) - 2 == len(state)
    assert facts["bytes"] == sum(t.nbytes for n, t in state.items() if f"body.{n}" not in found)


def test_several_on_one_backbone_share_its_storage(tiny_encoder: Path, tmp_path: Path) -> None:
    runs = [
        trained(tiny_encoder, method, seed=i) for i, method in enumerate(("lora:r=2", "lora:r=4", "bitfit", "full"))
    ]
    made = [(saved(tmp_path / str(i), run), run.recipe) for i, run in enumerate(runs)]
    nets = reopen_together(made)
    alone = [reopen(folder, given) for folder, given in made]
    for net, single, run in zip(nets, alone, runs, strict=True):
        assert torch.equal(answers(net, run.recipe), answers(single, run.recipe))
        torch.testing.assert_close(answers(net, run.recipe), answers(run.net, run.recipe), rtol=0, atol=1e-6)
    table = "body.model.bert.embeddings.word_embeddings.weight"
    assert len({net.state_dict()[table].data_ptr() for net in nets[:3]}) == 1
    assert storages(nets[:3]) < storages(alone[:3]) / 2
    layer = "model.bert.encoder.layer.0.attention.self.query"
    one, other = (net.body.get_submodule(layer) for net in nets[:2])
    assert one is not other
    assert one.base_layer.weight.data_ptr() == other.base_layer.weight.data_ptr()
    assert nets[0].body.tokenizer is nets[1].body.tokenizer


def storages(nets: list[Any]) -> int:
    """Bytes of every storage once."""
    each = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for net in nets for t in tensors(net)}
    return sum(each.values())


def tensors(net: Any) -> Iterator[Tensor]:
    yield from net.state_dict().values()


def test_bundles_opened_together_answer_from_several_threads(tiny_encoder: Path, tmp_path: Path) -> None:
    methods = ("lora:r=2", "bitfit", "probe")
    bundles = [
        Bundle.load(saved(tmp_path / m[:4], trained(tiny_encoder, m, "mean", seed=i))) for i, m in enumerate(methods)
    ]
    whole = trained(tiny_encoder, "full", "mean")
    bundles.append(Bundle.load(save_network(tmp_path / "whole", whole.net, whole.recipe, ROWS.schema, {}, "")))
    expected = [b.answer(HELD).probabilities for b in bundles]
    found: dict[int, Any] = {}
    ways = open_together(bundles)

    def ask(i: int) -> None:
        for _ in range(3):
            found[i] = ways[i](HELD).probabilities

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bundles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, wanted in enumerate(expected):
        np.testing.assert_array_equal(found[i], wanted)


def test_opening_one_more_leaves_the_others_as_they_were(tiny_encoder: Path, tmp_path: Path) -> None:
    first, second = trained(tiny_encoder, "lora:r=2"), trained(tiny_encoder, "full", seed=3)
    made = [(saved(tmp_path / "a", first), first.recipe), (saved(tmp_path / "b", second), second.recipe)]
    body = saving.plain(first.recipe.backbone, first.recipe.task.layout)
    before = {name: t.clone() for name, t in body.state_dict().items()}
    for folder, given in made:
        saving._reopened(folder, given, body)
    assert all(torch.equal(before[name], t) for name, t in body.state_dict().items())


def refusal(folder: Path, made: Recipe, **names: Path) -> str:
    with pytest.raises(BadInput) as raised:
        reopen(folder, made)
    said = str(raised.value)
    for name, path in {"bundle": folder, **names}.items():
        said = said.replace(str(path), name)
    return said


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    encoder = tiny_models.bert(tmp_path / "model")
    run = trained(encoder, "lora:r=2")
    folder = saved(tmp_path / "bundle", run)
    was = json.loads((folder / BACKBONE).read_text("utf-8"))["sha256"][:12]
    weights = load_file(encoder / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"][3] += 1e-4
    save_file(weights, encoder / "model.safetensors", {"format": "pt"})
    said = refusal(folder, run.recipe, encoder=encoder)
    here = said.split("here it is ")[1][:12]
    assert said == (
        "error[ADAPTER_BASE]: bundle: the bundle was made for another 'encoder:path=encoder,pooling=native': "
        f"its content was {was}, here it is {here}. "
        "Fix: put the backbone back that it was trained on, or train again."
    )


def test_another_tokenizer_is_another_backbone(tmp_path: Path) -> None:
    encoder = tiny_models.bert(tmp_path / "model")
    run = trained(encoder, "probe")
    folder = saved(tmp_path / "bundle", run)
    file = encoder / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace('"cat"', '"cats"'), "utf-8")
    assert refusal(folder, run.recipe).startswith("error[ADAPTER_BASE]")


def test_a_backbone_that_is_gone_is_named(tmp_path: Path) -> None:
    encoder = tiny_models.bert(tmp_path / "model")
    run = trained(encoder, "lora:r=2")
    folder = saved(tmp_path / "bundle", run)
    shutil.rmtree(encoder)
    assert refusal(folder, run.recipe, encoder=encoder) == (
        "error[ADAPTER_BASE]: bundle: the bundle holds only what changed in 'encoder:path=encoder,pooling=native', "
        "which cannot be opened (there is no model folder 'encoder'). Fix: give a folder with config.json."
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t.pop("base_model.model.classifier.bias"), "'head.bias' is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "'extra' is no tensor of this network"),
        (
            lambda t: t.update({"base_model.model.classifier.bias": torch.ones(4)}),
            "'head.bias' has shape (4,), not (3,)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[[dict[str, Tensor]], object], what: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    run = trained(tiny_encoder, "lora:r=2")
    folder = saved(tmp_path / "bundle", run)
    kept = load_file(folder / "adapter_model.safetensors")
    change(kept)
    save_file(kept, folder / "adapter_model.safetensors")
    assert refusal(folder, run.recipe) == (
        f"error[ADAPTER_SHAPE]: bundle: what changed does not fit its backbone: {what}. "
        "Fix: copy the bundle again from where it was made, or train again."
    )


def test_the_packaged_encoder_goes_by_its_name_on_the_hub(tmp_path: Path) -> None:
    """Saved with PEFT's names, a hundredth of the backbone, and read back by plain PEFT on the genuine weights."""
    from dataclasses import replace

    from sartor.backbones.minilm import packaged_folder
    from sartor.part import part

    made = recipe(Path("unused"), ROWS, "lora:r=2,last=1", max_steps=2, learning_rate=1e-2)
    made = replace(made, backbone=part("backbones", "minilm:pooling=native")).settled()  # type: ignore[arg-type]
    run, encoded = begun(made, ROWS)
    list(steps(run, encoded))
    before = answers(run.net, made)
    folder = saved(tmp_path / "bundle", run)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "SEQ_CLS"
    assert sum(f.stat().st_size for f in folder.rglob("*")) < 2e6
    theirs, inputs = plain_peft(
        packaged_folder(), folder, "AutoModelForSequenceClassification", num_labels=3, ignore_mismatched_sizes=True
    )
    with torch.no_grad():
        torch.testing.assert_close(theirs(**inputs).logits, before, rtol=0, atol=1e-5)
