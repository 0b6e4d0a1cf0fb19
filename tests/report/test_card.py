from __future__ import annotations

from typing import Any

import pytest
import report_samples as samples
import yaml

from sartor.report.card import card, escaped, metadata

INFO: dict[str, Any] = {
    "recipe": {
        "task": {"part": "classification"},
        "backbone": {"part": "minilm"},
        "method": {"part": "lora", "r": 16},
        "plan": {"learning_rate": 0.0005, "seed": 0, "max_steps": None},
    },
    "labels": ["no", "yes"],
    "metrics": {"accuracy": 0.93},
    "test": {
        "accuracy": {"value": 0.9258, "low": 0.9097, "high": 0.9393, "n": 1200, "level": 0.95, "method": "Wilson"}
    },
    "costs": {"latency_ms_p50": {"value": 3.98, "low": 3.82, "high": 4.19}},
    "data": {"source": "hf:owner/reviews", "rows": 6000, "target": "stars", "parts": {"train": 3600, "test": 1200}},
    "how_to_use": {"sartor": "import sartor\nsartor.Bundle.load('bundle')"},
    "base_model": "sentence-transformers/all-MiniLM-L6-v2",
    "parameters": {"trained": 313347, "all": 23000000},
    "stored": {
        "form": "changed",
        "bytes": 1253388,
        "lent": {"backbone": "minilm", "sha256": "53aa51172d14", "bytes": 90868376},
        "peft": {"peft_type": "LORA", "task_type": "FEATURE_EXTRACTION", "modules_to_save": None},
    },
    "pipeline_tag": "text-classification",
    "notes": ["texts are cut at 256 tokens"],
}


def front(text: str) -> Any:
    start, middle, _ = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(middle)


def test_front_matter_is_what_the_hub_reads() -> None:
    read = front(card(INFO))
    assert read["library_name"] == "peft"
    assert read["pipeline_tag"] == "text-classification"
    assert read["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert read["datasets"] == ["owner/reviews"]
    assert read["metrics"] == ["accuracy"]
    assert "license" not in read
    result = read["model-index"][0]["results"][0]
    assert result["task"] == {"type": "text-classification"}
    assert result["dataset"]["split"] == "test"
    assert result["metrics"] == [{"type": "accuracy", "name": "Accuracy", "value": 0.9258}]


@pytest.mark.parametrize("part", [{"backbone": {"part": "convnet"}}, {"baseline": {"part": "pixels"}}])
def test_what_reads_images_is_called_so(part: dict[str, Any]) -> None:
    read = front(card({**INFO, "recipe": {"task": {"part": "classification"}, **part}}))
    assert read["pipeline_tag"] == "image-classification"
    assert read["model-index"][0]["results"][0]["task"] == {"type": "image-classification"}


def test_sections_tell_what_was_measured_and_what_was_not() -> None:
    text = card(INFO)
    assert "| Accuracy | 92.6% [91.0, 93.9] | 93.0% |" in text
    assert "95% intervals: Wilson, 1,200 rows." in text
    assert "| Latency, median | 3.98 ms [3.82, 4.19] |" in text
    assert "| Size on disk | not measured |" in text
    assert "```python\nimport sartor\nsartor.Bundle.load('bundle')\n```" in text
    assert "max_steps" not in text


def test_it_says_what_moved_what_is_stored_and_what_plain_peft_makes_of_it() -> None:
    text = card(INFO)
    assert "| Weights trained | 313,347 of 23,000,000 (1.36%) |" in text
    assert "| Bytes of weights stored | 1,253,388 |" in text
    assert "| Needs besides | 90,868,376 bytes of minilm, content sha256 53aa51172d14 |" in text
    assert "opened as AutoModel, gives the same token vectors (`last_hidden_state`)." in text
    assert "the head lies in `sartor/changed.safetensors`." in text
    inside = INFO["stored"] | {"peft": {"task_type": "SEQ_CLS"}}
    assert "gives the same outputs: the head is in the adapter." in card(INFO | {"stored": inside})
    own = INFO["stored"] | {"peft": None}
    assert "PEFT" not in card(INFO | {"stored": own})
    assert front(card(INFO | {"stored": own}))["library_name"] == "sartor"
    whole = card(INFO | {"stored": {"form": "merged", "bytes": 90}})
    assert "| Stored | merged into the backbone and whole: it needs nothing else |" in whole
    assert front(whole)["library_name"] == "transformers"


def test_nothing_known_claims_nothing() -> None:
    text = card({})
    assert front(text) == {"library_name": "sartor", "tags": ["sartor"]}
    assert "Not measured." in text


@pytest.mark.parametrize(("path", "named"), [("owner/model", "owner/model"), ("/data/models/x", None), ("../x", None)])
def test_base_model_is_a_hub_name_or_nothing(path: str, named: str | None) -> None:
    recipe = {"backbone": {"part": "encoder", "path": path}, "method": {"part": "full"}}
    made = metadata({"recipe": recipe, "base_model": path})
    assert made.get("base_model") == named
    assert made["library_name"] == "transformers"


@pytest.mark.parametrize("attack", samples.HOSTILE)
def test_hostile_text_breaks_neither_yaml_nor_markdown(attack: str) -> None:
    info = INFO | {"labels": [attack], "notes": [attack], "metrics": {attack: 0.5}, "test": {attack: 0.5}}
    info |= {"data": {"source": attack, "target": attack, "how": attack, "parts": {attack: 3}}}
    info |= {"how_to_use": {attack: f"```\n{attack}"}}
    text = card(info)
    read = front(text)
    assert set(read) <= {"library_name", "pipeline_tag", "base_model", "tags", "metrics", "model-index"}
    prose = text.split("---\n", 2)[2].split("## How to use")[0]
    assert "<" not in prose
    assert "](" not in prose
    assert "\n---\n" not in prose
    assert all(c == "\n" or c.isprintable() for c in text)
    assert len(text) < 20_000
    text.encode()


def test_markdown_is_escaped_character_by_character() -> None:
    assert escaped("a|b *c* <d> [e](f)") == r"a\|b \*c\* &lt;d&gt; \[e\]\(f\)"


def test_code_cannot_close_its_block() -> None:
    text = card({"how_to_use": {"x": "a = '````'"}})
    assert "`````python\na = '````'\n`````" in text
