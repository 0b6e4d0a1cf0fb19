"""Speech models by folder: heard as transformers hears them, alone and in a batch; what plain transformers reads."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from sartor.bundle import Bundle, save_network
from sartor.data.media import Held, Media
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.network import Network
from sartor.part import part
from sartor.pretrained.text import quiet
from sartor.recipe import Plan, Recipe
from sartor.tasks.speech_recognition import SpeechRecognition
from sound_samples import encoded, sounded, spoken
from text_samples import task_of
from tiny_runs import begun, steps

SOUNDS: list[Media] = list(spoken(3).columns["audio"])
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
CONVOLUTIONS = {"conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (10, 16), "num_feat_extract_layers": 2}
POSITIONS = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}


def waves(folder: Path, kind: str, norm: str) -> Path:
    import transformers

    stable = {"do_stable_layer_norm": norm == "layer"}
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(3)
        config = transformers.AutoConfig.for_model(
            kind, feat_extract_norm=norm, vocab_size=7, **SIZES, **CONVOLUTIONS, **POSITIONS, **stable
        )
        transformers.AutoModelForCTC.from_config(config).save_pretrained(folder)
    told = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 8000}
    (folder / "preprocessor_config.json").write_text(json.dumps(told), "utf-8")
    return folder


@pytest.fixture(scope="module", params=["wav2vec2-group", "wav2vec2-layer", "hubert-group"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, norm = request.param.split("-")
    return waves(tmp_path_factory.mktemp("speech") / "model", kind, norm)


@pytest.mark.parametrize("layout", ["row", "frames"])
def test_every_sound_is_heard_as_if_alone(folder: Path, layout: str) -> None:
    body: Any = part("backbones", f"speech:path={folder}").build(layout).eval()  # type: ignore[attr-defined]
    batch = body.encode({"audio": SOUNDS})
    with torch.no_grad():
        together = body(batch)
        alone = torch.cat([body(batch.take(torch.tensor([i]))) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert len(together) == (3 if layout == "row" else int(batch.counts.sum()))


def test_it_says_what_transformers_says_of_each_sound(folder: Path) -> None:
    import transformers

    body: Any = part("backbones", f"speech:path={folder}").build("frames").eval()  # type: ignore[attr-defined]
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extract = transformers.Wav2Vec2FeatureExtractor(sampling_rate=8000, do_normalize=True)
    batch = body.encode({"audio": SOUNDS})
    with torch.no_grad():
        found = body.heads["classifier"](body(batch)).split(batch.counts.tolist())
        for one, media in zip(found, SOUNDS, strict=True):
            samples = soundfile.read(io.BytesIO(media.read()), dtype="float32")[0]
            values = extract(samples, sampling_rate=8000, return_tensors="pt")["input_values"]
            torch.testing.assert_close(one, model(values).logits[0], rtol=1e-4, atol=1e-4)


def test_training_it_draws_nothing_by_itself(folder: Path) -> None:
    body: Any = part("backbones", f"speech:path={folder}").build("frames").train()  # type: ignore[attr-defined]
    for module in body.modules():
        module.p = 0.0 if isinstance(module, nn.Dropout) else getattr(module, "p", 0.0)
    batch = body.encode({"audio": SOUNDS})
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    body(batch)
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]


def test_a_saved_recogniser_is_one_for_plain_transformers(tmp_path: Path) -> None:
    import transformers

    labels = ["<pad>", "<unk>", "|", "a", "b", "c"]
    places = {label: i for i, label in enumerate(labels)}
    told: dict[str, Any] = {"num_labels": 6, "id2label": dict(enumerate(labels)), "label2id": places}
    told |= {"vocab_size": 6, "pad_token_id": 0}
    torch.manual_seed(0)
    body: Any = part("backbones", "speech:size=micro").build("frames").eval()  # type: ignore[attr-defined]
    net = Network(body, nn.Linear(body.width, 6)).eval()
    nn.init.normal_(net.head.weight, std=1.0)
    nn.init.constant_(net.head.bias[1:2], -100.0)
    net.body.save(tmp_path, net.head, told)
    model = transformers.AutoModelForCTC.from_pretrained(tmp_path).eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    draw = np.random.default_rng(0)  # of all frequencies: where there is nothing, rounding decides the logarithm
    sounds = [encoded(0.1 * draw.standard_normal(n), 16_000, subtype="FLOAT") for n in (9000, 7000, 4321)]
    held = [Media(f"{i}.wav", Held(sound)) for i, sound in enumerate(sounds)]
    batch = body.encode({"audio": held})
    samples = [body.hearing.samples(media) for media in held]
    read = processor(samples, sampling_rate=16_000, return_tensors="pt", padding=True)
    with torch.no_grad():
        expected, logits = net(batch).split(batch.counts.tolist()), model(**read).logits
    for i, one in enumerate(expected):
        torch.testing.assert_close(logits[i, : len(one)], one, rtol=1e-3, atol=2e-3)
    said = processor.batch_decode(expected[0].argmax(-1)[None])
    assert set(said[0]) <= set("abc ")


def test_models_that_are_not_read_are_refused_with_a_sentence(tmp_path: Path) -> None:
    import transformers

    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 60}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    with quiet():
        config = transformers.WhisperConfig(**sizes, **tokens, suppress_tokens=None, begin_suppress_tokens=None)
        transformers.WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "whisper")
    with pytest.raises(BadInput) as raised:
        part("backbones", f"speech:path={tmp_path / 'whisper'}").build("frames")  # type: ignore[attr-defined]
    assert str(raised.value) == (
        f"error[SPEECH_MODEL]: {tmp_path / 'whisper'}: 'whisper' writes its answers with a decoder, which is not read "
        "yet. Fix: use an encoder, such as wav2vec2, hubert, wavlm or wav2vec2-bert."
    )
    bare = waves(tmp_path / "bare", "wav2vec2", "layer")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(BadInput, match=r"error\[SPEECH_PROCESSOR\]: .*: the model folder has no preprocessor_config"):
        part("backbones", f"speech:path={bare}").build("frames")  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["changed", None])
@pytest.mark.parametrize("method", ["lora", "full", "adapter"])
@pytest.mark.parametrize("sample", [spoken, sounded])
def test_a_model_by_folder_is_tuned_saved_and_loaded(
    sample: Any, method: str, form: Any, folder: Path, tmp_path: Path
) -> None:
    """In bf16: models write zeros into what the loop's own products return."""
    rows = sample(16)
    task = SpeechRecognition().learn(rows) if sample is spoken else task_of(rows)
    named: dict[str, Any] = {"backbone": part("backbones", f"speech:path={folder}"), "method": part("methods", method)}
    named |= {"objective": part("objectives", "supervised")}
    plan = Plan(per_device_train_batch_size=8, max_steps=2, precision="bf16")
    made = Recipe(task=task, plan=plan, **named).settled()
    run, encoded = begun(made, rows)
    assert all(np.isfinite(step.loss) for step in steps(run, encoded))
    batch = task.encode(rows, run.net.body)
    expected = task.answer(outputs(run.net, batch, say=task.say), rows)
    said = Bundle.load(save_network(tmp_path / "b", run.net, made, rows.schema, {}, "# x\n", form)).answer(rows)
    np.testing.assert_allclose(said.probabilities, expected.probabilities, rtol=0, atol=1e-4)
