"""Wrapping: which layers of a body a method wraps, and how they are folded back. Names are PEFT's.

`target_modules` are names, or ends of names, of layers; `last` (PEFT's `layers_to_transform`) keeps to the last blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.network import Network


def at_least_one(method: str, **values: int | None) -> None:
    """Raises `BadInput` for a count below 1; None is no count."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise BadInput("VALUE_RANGE", f"{method}.{name} is {value}", fix="give at least 1")


def between(method: str, low: float, high: float, **values: float) -> None:
    """Raises `BadInput` for a value below `low`, or not below `high`."""
    for name, value in values.items():
        if not low <= value < high:
            fix = f"give at least {low:g}" + (f" and below {high:g}" if high < math.inf else "")
            raise BadInput("VALUE_RANGE", f"{method}.{name} is {value:g}", fix=fix)


def linears(body: Body, method: str, wanted: Sequence[str] = (), last: int | None = None) -> list[str]:
    """Full names of the linear layers in the blocks, or of those `wanted` among them. Raises `BadInput` for a body
    that has none, for a name that matches none, and for more blocks than there are."""
    found = body.linears()
    if not found:
        fix = "use a method that wraps nothing: full, bitfit or probe"
        raise BadInput("LINEARS_NONE", f"{method} wraps linear layers, and this network's blocks have none", fix=fix)
    return targets(late(body, found, method, last), method, wanted)


def late(body: Body, names: list[str], method: str, last: int | None) -> list[str]:
    """Those of the layers `names` that stand in the last blocks. Raises `BadInput` where the body has fewer."""
    if last is None:
        return names
    blocks = body.blocks()
    if last > len(blocks):
        said = f"{method}.last is {last} and the network has {len(blocks)} blocks"
        raise BadInput(f"{method.upper()}_LAST", said, fix=f"give at most {len(blocks)}")
    inside = {m for block in blocks[-last:] for m in block.modules()}
    return [name for name in names if body.get_submodule(name) in inside]


def targets(names: list[str], method: str, wanted: Sequence[str], kind: str = "linear layer") -> list[str]:
    """Those of `names`, each a `kind`, that are `wanted`; all where nothing is. Raises `BadInput` for a name that
    matches none."""
    if not wanted:
        return names
    for end in wanted:
        if not any(is_end(name, end) for name in names):
            known = {name.rsplit(".", 1)[-1] for name in names}
            said = f"no {kind} is called '{end}'"
            raise BadInput(f"{method.upper()}_TARGET", said, fix=did_you_mean(end, known))
    return [name for name in names if any(is_end(name, end) for end in wanted)]


def is_end(name: str, wanted: str) -> bool:
    """Whether `wanted` is the name or its last words."""
    return name == wanted or name.endswith(f".{wanted}")


def require_width(body: Body, names: Sequence[str], setting: str, rank: int) -> None:
    """Raises `BadInput` where a rank is above the width of a layer: no update of that layer has so many directions."""
    for name in names:
        layer: Any = body.get_submodule(name)
        width = min(layer.weight.shape)
        if rank > width:
            said = f"{setting} is {rank} and the layer '{name}' is {width} wide"
            raise BadInput("RANK_WIDTH", said, fix=f"give at most {width}")


def require_room(body: Body, method: str, count: int) -> None:
    """Raises `BadInput` where so many tokens in front would leave rows less than half of what the network reads."""
    if 2 * count > body.room:
        said = f"{method}.num_virtual_tokens is {count} and the network reads {body.room} tokens"
        raise BadInput("FRONT_ROOM", said, fix=f"give at most {body.room // 2}")


def only(net: Network, mark: str) -> None:
    """Of the body, only weights whose names have `mark` move."""
    for name, weight in net.body.named_parameters():
        weight.requires_grad_(mark in name)


def wrapped(net: Network, kind: Any) -> dict[str, Any]:
    """Name -> layer, for every layer of the body that is a `kind`."""
    return {name: m for name, m in net.body.named_modules() if isinstance(m, kind)}


def fold(net: Network, kind: Any) -> None:
    """Every wrapped layer's update into the layer itself, which takes its old place."""
    for name, layer in wrapped(net, kind).items():
        layer.merge(safe_merge=True)
        replace(net.body, {name: layer.get_base_layer()})


def replace(body: Body, modules: Mapping[str, Any]) -> None:
    """Other modules in the places that their names say."""
    for name, module in modules.items():
        parent, _, leaf = name.rpartition(".")
        setattr(body.get_submodule(parent), leaf, module)
