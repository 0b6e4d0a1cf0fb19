"""Saving: what a trained network is on disk, and back: merged into its backbone, or only what changed.

merged    the transformers layout, which loads unmodified and needs nothing else; `compressed` says how a network lies
          there that compressors have left
changed   sartor/backbone.json        on which backbone: its part, and a hash of all that is borrowed from it
          sartor/changed.safetensors  what was inserted, what differs from the backbone, and the head
          adapter_config.json         PEFT's own format for what PEFT knows, in place of the same tensors above
          adapter_model.safetensors

What changed is found by comparing with the backbone, opened again: no method keeps a list of it. A tensor that the
backbone's folder does not determine, such as a pooler that was drawn, therefore differs, and is stored.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sartor import compressed
from sartor.backbone import Backbone
from sartor.body import Body
from sartor.errors import BadInput
from sartor.network import Network, described, joined, laid_down, taken_up
from sartor.peft_format import PEFT_CONFIG, PEFT_WEIGHTS, in_peft
from sartor.recipe import Recipe

Form = Literal["merged", "changed"]
BACKBONE = "sartor/backbone.json"
CHANGED = "sartor/changed.safetensors"
SEED = 47_316
"""What a backbone's folder does not determine is drawn from this seed when it is opened to be compared with."""


@dataclass(frozen=True)
class Laid:
    """A method laid on a backbone: names in the network's body -> names in the backbone, for what is the backbone's."""

    net: Network
    own: dict[str, str]


def form_of(net: Network) -> Form:
    """The form a network can be saved in as it stands: merged only where nothing inserted is left in its body."""
    return "changed" if net.inserted() else "merged"


def is_changed(folder: Path) -> bool:
    """Whether the bundle in `folder` holds only what changed."""
    return (folder / BACKBONE).is_file()


def lent_bytes(folder: Path) -> int:
    """Bytes of the backbone that the bundle in `folder` needs besides its own files."""
    return int(_facts(folder)["bytes"]) if is_changed(folder) else 0


def stored(folder: Path) -> dict[str, Any]:
    """What was stored, for a card: the form, the bytes of its weights, and what they need of which backbone."""
    weights = [f for f in folder.rglob("*.safetensors") if f.is_file()]
    told: dict[str, Any] = {"form": "changed" if is_changed(folder) else "merged"}
    told |= {"form": "compressed"} if compressed.is_compressed(folder) else {}
    told |= {
        "bytes": sum(f.stat().st_size for f in weights),
        "files": sorted(str(f.relative_to(folder)) for f in weights),
    }
    if is_changed(folder):
        told |= {"lent": _facts(folder)}
    if (folder / PEFT_CONFIG).is_file():
        config = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
        told |= {"peft": {key: config[key] for key in ("peft_type", "task_type", "modules_to_save")}}
    return told


def _facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / BACKBONE).read_text("utf-8"))
    return found


def write(folder: Path, net: Network, recipe: Recipe, form: Form) -> None:
    """The network's files in `folder`, which exists; for `merged` nothing inserted may be left."""
    if form == "merged":
        layer = laid_down(net.head, folder)
        net.body.save(folder, layer, described(recipe.task, layer))
    else:
        _write_changed(folder, net, recipe)


def reopen(folder: Path, recipe: Recipe) -> Network:
    """The network that was saved, ready to answer. Raises `BadInput` where its backbone is another or gone."""
    if compressed.is_compressed(folder):
        return compressed.reopen(folder, recipe)
    if not is_changed(folder):
        body = recipe.backbone.reopen(folder, recipe.task.layout)
        return Network(body, taken_up(recipe.task, body, folder)).eval()
    return reopen_together([(folder, recipe)])[0]


def reopen_together(saved: Sequence[tuple[Path, Recipe]]) -> list[Network]:
    """Networks that were saved as what changed, one each; those on one backbone share its storage.

    In memory: every backbone once, and what changed. Nothing is switched: each network has layers of its own over the
    same tensors, so that several threads may ask several of them at once.
    """
    opened: dict[tuple[str, str], Body] = {}
    found = []
    for folder, recipe in saved:
        key = (json.dumps(recipe.backbone.to_json(), sort_keys=True), recipe.task.layout)
        if key not in opened:
            opened[key] = _backbone_of(folder, recipe)
        found.append(_reopened(folder, recipe, opened[key]))
    return found


def plain(backbone: Backbone, layout: str) -> Body:
    """The backbone as its folder has it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return backbone.build(layout).eval()


def twin(body: Body) -> Body:
    """Another body on the very same storage, with layers of its own: what is inserted there is not here."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in body.parameters()}
    memo |= {id(b): b.detach() for b in body.buffers()} | {id(shared): shared for shared in body.readers}
    return copy.deepcopy(body, memo)


def laid(body: Body, recipe: Recipe, steps: int) -> Laid:
    """The recipe's method on a twin of `body`: names, and room for what was saved."""
    with torch.random.fork_rng(devices=[]):
        own = twin(body)
        known = {id(t): name for name, t in own.state_dict(keep_vars=True).items()}
        net = joined(own, recipe.task, recipe.method, steps)
    now = net.body.state_dict(keep_vars=True)
    return Laid(net.eval(), {name: known[id(t)] for name, t in now.items() if id(t) in known})


def folds_away(body: Body, recipe: Recipe, steps: int) -> bool:
    """Whether nothing is left of the recipe's method once it is merged: tried on a copy of `body`."""
    net = laid(copy.deepcopy(body), recipe, steps).net
    recipe.method.merge(net)
    return not net.inserted()


def changes(net: Network, body: Body, own: Mapping[str, str]) -> dict[str, Tensor]:
    """Name in the network's state -> tensor, for what was inserted, what differs from the backbone, and the head."""
    base = body.state_dict()
    found = {f"head.{name}": t for name, t in net.head.state_dict().items()}
    for name, tensor in net.body.state_dict().items():
        if name not in own or not torch.equal(tensor.cpu(), base[own[name]]):
            found[f"body.{name}"] = tensor
    return {name: _own(tensor) for name, tensor in found.items()}


def fingerprint(body: Body, names: Iterable[str]) -> str:
    """sha256 over the tensors of these names in a backbone's state, and over how it reads rows."""
    state = body.state_dict()
    digest = hashlib.sha256(json.dumps(body.facts(), sort_keys=True).encode())
    for name in sorted(names):
        tensor = state[name].contiguous()
        digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write_changed(folder: Path, net: Network, recipe: Recipe) -> None:
    body = plain(recipe.backbone, recipe.task.layout)
    own = laid(body, recipe, net.steps).own
    if not set(own) <= set(net.body.state_dict()):
        raise AssertionError("a network that is saved as what changed must not be merged before")
    found = changes(net, body, own)
    native = in_peft(net, recipe, own, found)
    keys = {} if native is None else native.keys
    state = net.state_dict()
    beside = {name: tensor for name, tensor in found.items() if name not in keys}
    (folder / "sartor").mkdir(exist_ok=True)
    borrowed = [ours for name, ours in own.items() if f"body.{name}" not in {*found, *keys}]
    (folder / BACKBONE).write_text(json.dumps(_lent(body, borrowed, recipe, net.steps), indent=1) + "\n", "utf-8")
    if native is not None:
        (folder / PEFT_CONFIG).write_text(json.dumps(native.config, indent=2, sort_keys=True) + "\n", "utf-8")
        save_file({key: _own(state[name]) for name, key in keys.items()}, folder / PEFT_WEIGHTS, {"format": "pt"})
    if beside:
        save_file(beside, folder / CHANGED)


def _lent(body: Body, borrowed: Sequence[str], recipe: Recipe, steps: int) -> dict[str, Any]:
    """What `sartor/backbone.json` says: which backbone, and what of it is needed."""
    state = body.state_dict()
    facts = {"backbone": recipe.backbone.spelled(), "base_model": recipe.backbone.origin(), "steps": steps}
    facts |= {"tensors": len(borrowed), "bytes": sum(state[name].nbytes for name in borrowed)}
    return facts | {"sha256": fingerprint(body, borrowed)}


def _own(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, as safetensors wants it."""
    return tensor.detach().cpu().clone().contiguous()


def _backbone_of(folder: Path, recipe: Recipe) -> Body:
    try:
        return plain(recipe.backbone, recipe.task.layout)
    except BadInput as error:
        said = f"the bundle holds only what changed in '{recipe.backbone.spelled()}', which cannot be opened"
        raise BadInput("ADAPTER_BASE", f"{said} ({error.message})", fix=error.fix, where=str(folder)) from None


def _reopened(folder: Path, recipe: Recipe, body: Body) -> Network:
    facts = _facts(folder)
    on = laid(body, recipe, int(facts["steps"]))
    found = _read(folder, on, recipe)
    _check_shapes(folder, on, found)
    borrowed = [ours for name, ours in on.own.items() if f"body.{name}" not in found]
    here = fingerprint(body, borrowed)
    if here != facts["sha256"]:
        name = recipe.backbone.spelled()
        said = (
            f"the bundle was made for another '{name}': its content was {facts['sha256'][:12]}, here it is {here[:12]}"
        )
        fix = "put the backbone back that it was trained on, or train again"
        raise BadInput("ADAPTER_BASE", said, fix=fix, where=str(folder))
    on.net.load_state_dict(found, strict=False, assign=True)
    return on.net.requires_grad_(False)


def _read(folder: Path, on: Laid, recipe: Recipe) -> dict[str, Tensor]:
    """Name in the network's state -> what was stored, from whichever of the two files has it."""
    found: dict[str, Tensor] = load_file(folder / CHANGED) if (folder / CHANGED).is_file() else {}
    if (folder / PEFT_WEIGHTS).is_file():
        kept = load_file(folder / PEFT_WEIGHTS)
        native = in_peft(on.net, recipe, on.own, on.net.state_dict())
        keys = {} if native is None else {key: name for name, key in native.keys.items()}
        found |= {keys.get(key, key): tensor for key, tensor in kept.items()}
    return found


def _check_shapes(folder: Path, on: Laid, found: Mapping[str, Tensor]) -> None:
    """Raises `BadInput` unless everything inserted is there, and nothing else, in its shape."""
    state = on.net.state_dict()
    wanted = {name for name in state if name.removeprefix("body.") not in on.own}
    for name in sorted(wanted ^ set(found)):
        if name in wanted or name not in state:
            said = f"'{name}' is {'missing' if name in wanted else 'no tensor of this network'}"
            raise _misfit(folder, said)
    for name, tensor in found.items():
        if tensor.shape != state[name].shape:
            raise _misfit(folder, f"'{name}' has shape {tuple(tensor.shape)}, not {tuple(state[name].shape)}")


def _misfit(folder: Path, said: str) -> BadInput:
    fix = "copy the bundle again from where it was made, or train again"
    return BadInput("ADAPTER_SHAPE", f"what changed does not fit its backbone: {said}", fix=fix, where=str(folder))
