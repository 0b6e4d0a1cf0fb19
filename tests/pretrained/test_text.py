"""TextBody: any encoder's anatomy, what it reads, and that plain transformers computes the very same thing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sartor.errors import BadInput, Interrupted
from sartor.network import Network
from sartor.pretrained.text import TextBody, open_text, reopen_text
from tiny_models import POSITIONS, WIDTH

TEXTS = ["a cat", "the dog near some butter with one plum under a saw", "", "zebra 日本 🙂", "over " * 100]
MODELS = [("tiny_encoder", "mean"), ("tiny_encoder", "native"), ("tiny_roberta", "mean"), ("tiny_roberta", "native")]
MODELS += [("tiny_distilbert", "native")]


@pytest.fixture(params=MODELS, ids="-".join)
def opened(request: pytest.FixtureRequest) -> tuple[Path, Any]:
    model, how = request.param
    return request.getfixturevalue(model), how


def plain(folder: Path, texts: list[str], pairs: list[str] | None = None) -> Tensor:
    """The logits that transformers alone computes, padding included."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(texts, pairs, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = model(**inputs).logits
    return found


def network(folder: Path, how: Any, outputs: int = 3) -> Network:
    body = open_text(folder, how, 256)
    torch.manual_seed(4)
    return Network(body, nn.Linear(body.width, outputs)).eval()


def says(net: Network, texts: list[str], pairs: list[str] | None = None) -> Tensor:
    columns = {"text": texts} | ({"text_pair": pairs} if pairs else {})
    with torch.no_grad():
        return net(net.body.encode(columns))


def saved(net: Network, folder: Path) -> Path:
    labels = {i: f"label {i}" for i in range(net.head.out_features)}
    settings = {"num_labels": len(labels), "id2label": labels, "label2id": {v: k for k, v in labels.items()}}
    net.body.save(folder, net.head, {**settings, "problem_type": "single_label_classification"})
    return folder


def test_its_anatomy(opened: tuple[Path, Any]) -> None:
    body = open_text(*opened, 256)
    assert body.width == body.heads["classifier"].in_features == WIDTH
    assert len(body.blocks()) == 2
    assert len(body.linears()) == 12
    assert all(isinstance(body.get_submodule(name), nn.Linear) for name in body.linears())
    inside = {id(m) for block in body.blocks() for m in block.modules()}
    assert all(id(body.get_submodule(name)) in inside for name in body.linears())


def test_every_text_is_read_whatever_its_length(opened: tuple[Path, Any]) -> None:
    body = open_text(*opened, 256).eval()
    batch = body.encode({"text": TEXTS})
    assert int(batch.lengths.max()) == POSITIONS == body.max_length
    with torch.no_grad():
        assert body(batch).shape == (len(TEXTS), WIDTH)
        assert body(batch).isfinite().all()


def test_a_shorter_limit_cuts(opened: tuple[Path, Any]) -> None:
    assert int(open_text(*opened, 7).encode({"text": TEXTS}).lengths.max()) == 7


def test_padding_changes_nothing(opened: tuple[Path, Any]) -> None:
    body = open_text(*opened, 256).eval()
    batch = body.encode({"text": TEXTS})
    with torch.no_grad():
        together = body(batch)
        alone = torch.cat([body(batch.take(torch.tensor([i]))) for i in range(len(TEXTS))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_what_is_saved_gives_the_same_logits_in_plain_transformers(opened: tuple[Path, Any], tmp_path: Path) -> None:
    net = network(*opened)
    expected = says(net, TEXTS)
    folder = saved(net, tmp_path / "saved")
    assert float(expected.std(0).min()) > 1e-3
    torch.testing.assert_close(plain(folder, TEXTS), expected, rtol=0, atol=1e-5)


def test_what_is_saved_is_reopened_as_it_was(opened: tuple[Path, Any], tmp_path: Path) -> None:
    net = network(*opened)
    body = reopen_text(saved(net, tmp_path / "saved"), "auto", 256)
    assert (body.how, body.max_length, len(body.blocks())) == (net.body.how, POSITIONS, 2)
    again = Network(body, body.heads["classifier"]).eval()
    torch.testing.assert_close(says(again, TEXTS), says(net, TEXTS), rtol=0, atol=1e-6)
    twice = saved(again, tmp_path / "twice")
    torch.testing.assert_close(plain(twice, TEXTS), says(net, TEXTS), rtol=0, atol=1e-5)


def test_saving_leaves_the_network_as_it_was(opened: tuple[Path, Any], tmp_path: Path) -> None:
    net = network(*opened)
    before = says(net, TEXTS)
    saved(net, tmp_path / "saved")
    assert torch.equal(says(net, TEXTS), before)
    assert net.body.config.num_labels == 2
    assert len(net.body.blocks()) == 2


def test_the_saved_configuration_names_the_labels(opened: tuple[Path, Any], tmp_path: Path) -> None:
    config = json.loads((saved(network(*opened), tmp_path / "saved") / "config.json").read_text("utf-8"))
    assert config["id2label"] == {"0": "label 0", "1": "label 1", "2": "label 2"}
    assert config["problem_type"] == "single_label_classification"


@pytest.mark.parametrize("how", ["mean", "native"])
def test_text_pairs(tiny_encoder: Path, tmp_path: Path, how: Any) -> None:
    net = network(tiny_encoder, how)
    firsts, seconds = ["a cat", "the dog near a saw"], ["one plum with butter", "tiger"]
    expected = says(net, firsts, seconds)
    torch.testing.assert_close(plain(saved(net, tmp_path / "s"), firsts, seconds), expected, rtol=0, atol=1e-5)
    assert (says(net, seconds, firsts) - expected).abs().max() > 1e-3


def test_auto_follows_what_the_folder_says(tiny_encoder: Path, tiny_sentence_encoder: Path) -> None:
    assert open_text(tiny_encoder, "auto", 256).how == "native"
    assert open_text(tiny_sentence_encoder, "auto", 256).how == "mean"
    assert open_text(tiny_sentence_encoder, "native", 256).how == "native"


def test_auto_stays_native_where_the_mean_cannot_be_written(tiny_distilbert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_distilbert, tmp_path / "model"))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    assert open_text(folder, "auto", 256).how == "native"


def test_fresh_weights_are_not_the_pretrained_ones(tiny_encoder: Path) -> None:
    torch.manual_seed(1)
    fresh = open_text(tiny_encoder, "mean", 256, fresh=True)
    known = open_text(tiny_encoder, "mean", 256)
    assert fresh.state_dict().keys() == known.state_dict().keys()
    name = "model.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(fresh.state_dict()[name], known.state_dict()[name])


def test_the_head_is_not_among_the_bodys_weights(opened: tuple[Path, Any]) -> None:
    body = open_text(*opened, 256)
    head = {id(p) for p in body.heads["classifier"].parameters()}
    assert not head & {id(p) for p in body.parameters()}


def test_the_dropout_before_the_head_is_the_models(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"classifier_dropout": 0.37}), "utf-8")
    assert open_text(folder, "mean", 256).dropout.p == 0.37
    assert open_text(tiny_encoder, "mean", 256).dropout.p == 0.1


def refusal(folder: Path, how: Any = "native") -> str:
    with pytest.raises(BadInput) as raised:
        open_text(folder, how, 256)
    return str(raised.value).replace(f"{folder}", "model")


def test_mean_pooling_of_another_anatomy_is_refused(tiny_distilbert: Path) -> None:
    assert refusal(tiny_distilbert, "mean") == (
        "error[POOLING]: DistilBertModel cannot be read by mean pooling. Fix: use pooling=native for this model."
    )


@pytest.mark.parametrize("damage", ["truncated", "garbage", "shapes"])
def test_damaged_weights_are_refused(tiny_encoder: Path, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    file = folder / "model.safetensors"
    if damage == "shapes":
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}), "utf-8")
    else:
        file.write_bytes(file.read_bytes()[:-100] if damage == "truncated" else b"garbage" * 100)
    said = refusal(folder)
    assert said.startswith("error[MODEL_OPEN]: model: the model cannot be opened (")
    assert said.endswith("Fix: check that the folder holds a whole text encoder; save it again with save_pretrained.")


@pytest.mark.parametrize(
    "value", [{"hidden_size": "wide"}, {"num_attention_heads": 5}, {"hidden_act": "none"}], ids=str
)
def test_a_configuration_that_makes_no_model_is_refused(tiny_encoder: Path, tmp_path: Path, value: Any) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | value), "utf-8")
    assert refusal(folder).startswith("error[MODEL_OPEN]: model: the model cannot be opened (")


def test_a_folder_without_a_tokenizer_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert refusal(folder) == (
        "error[TOKENIZER]: model: the model folder has no tokenizer. "
        "Fix: save the tokenizer into the same folder with save_pretrained."
    )


def test_a_damaged_tokenizer_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    (folder / "tokenizer.json").write_text("{", "utf-8")
    said = refusal(folder)
    assert said.startswith("error[TOKENIZER]: model: the tokenizer cannot be opened (")
    assert said.endswith(". Fix: save the tokenizer into the same folder with save_pretrained.")


def test_a_signal_while_opening_is_no_bad_input(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(2, kept="nothing")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", stopped)
    with pytest.raises(Interrupted):
        open_text(tiny_encoder, "native", 256)


def test_a_model_without_a_linear_head_is_refused() -> None:
    from sartor.pretrained.text import last_linear

    with pytest.raises(BadInput) as raised:
        last_linear(_only_inside())
    assert str(raised.value) == "error[MODEL_HEAD]: Bare has no linear classifier. Fix: use another model."


def _only_inside() -> nn.Module:
    class Bare(nn.Module):
        base_model_prefix = "inner"

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2))

    return Bare()


def test_a_body_is_a_module_that_moves_as_one(tiny_encoder: Path) -> None:
    body = open_text(tiny_encoder, "mean", 256)
    assert isinstance(body, TextBody)
    assert {p.dtype for p in body.parameters()} == {torch.float32}
