"""What changed in a network, in PEFT's own format, so that plain PEFT puts it on the same backbone.

    base_model.model.NAME    NAME as in the transformers model that the backbone's folder opens as

Where that model computes the features that the head reads (`AutoModelForSequenceClassification`), the head and every
other changed layer go with it as PEFT's `modules_to_save`. Where it does not, because the body reads the mean of the
tokens, the adapter is for `AutoModel`: plain PEFT then gives the same token vectors, and the head stays beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sartor.body import Counterpart
from sartor.network import Head, Network
from sartor.recipe import Recipe

PEFT_CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
TASK_TYPES = {
    "AutoModelForSequenceClassification": "SEQ_CLS",
    "AutoModelForTokenClassification": "TOKEN_CLS",
    "AutoModelForImageClassification": None,
    "AutoModelForAudioClassification": None,
    "AutoModelForCTC": None,
    "AutoModel": "FEATURE_EXTRACTION",
}
ALWAYS = ("classifier", "score")
"""How the layers end that PEFT saves whole with every sequence classifier, asked or not: `pre_classifier` too."""


@dataclass(frozen=True)
class InPeft:
    """`config` is the file's content; `keys`: name in the network's state -> key in PEFT's file."""

    config: dict[str, Any]
    keys: dict[str, str]


def in_peft(net: Network, recipe: Recipe, own: Mapping[str, str], changed: Mapping[str, Tensor]) -> InPeft | None:
    """How PEFT stores what changed; None where it has no such method, or the body no counterpart in transformers.

    `changed` names what is stored; for reading, every tensor: whole layers are then taken where they may lie."""
    native, part = recipe.method.native(net), net.body.counterpart()
    if native is None or part is None:
        return None
    keys = {f"body.{ours}": native.within + part.name(theirs) for ours, theirs in native.names.items()}
    keys |= {f"body.{ours}": key for ours, key in native.apart.items()}
    whole = dict(_whole_layers(net, part, own, set(changed) - set(keys)))
    config = {key: _named(value, part) for key, value in native.config.items()}
    config |= {"base_model_name_or_path": recipe.backbone.origin(), "task_type": TASK_TYPES[part.kind]}
    config |= {"inference_mode": True, "modules_to_save": sorted(set(whole.values())) or None}
    return InPeft(config, keys | {ours: native.within + _outside(ours, part, _inside(net)) for ours in whole})


def _whole_layers(
    net: Network, part: Counterpart, own: Mapping[str, str], changed: set[str]
) -> Iterator[tuple[str, str]]:
    """(name in the network's state, layer to save whole) for every tensor of the layers that `changed` touches."""
    inside = _inside(net)
    heads = [f"head.{n}" for n in net.head.state_dict() if part.head is not None and n.startswith(inside)]
    known = [f"body.{name}" for name in own] + heads
    layers = {_layer(_outside(name, part, inside), part) for name in changed if name in known}
    for name in known:
        layer = _layer(_outside(name, part, inside), part)
        if layer in layers or (part.trunk and layer.endswith(ALWAYS)):
            yield name, layer


def _inside(net: Network) -> str:
    """What stands before the names of the head's layer for which transformers has a place, where it has others too."""
    return f"{net.head.layer}." if isinstance(net.head, Head) else ""


def _outside(name: str, part: Counterpart, inside: str) -> str:
    """The name in the transformers model of a tensor in the network's state."""
    if name.startswith("head."):
        return f"{part.head}.{name.removeprefix(f'head.{inside}')}"
    return part.name(name.removeprefix("body."))


def _layer(name: str, part: Counterpart) -> str:
    """The layer that is saved whole for this tensor: beside the trunk its outermost (all of `classifier`)."""
    outermost = name.split(".")[0]
    return outermost if part.trunk and outermost != part.trunk else name.rpartition(".")[0]


def _named(value: Any, part: Counterpart) -> Any:
    """A setting of PEFT's, its layers' names as the transformers model has them, in plain JSON."""
    if isinstance(value, str):
        return str(getattr(value, "value", part.name(value)))
    if isinstance(value, Mapping):
        return {part.name(str(key)): _named(inner, part) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_named(inner, part) for inner in value)
    return [_named(inner, part) for inner in value] if isinstance(value, Iterable) else value
