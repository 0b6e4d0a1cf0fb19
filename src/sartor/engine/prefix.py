"""The frozen prefix: what blocks that do not move make of a row is computed once, and every epoch goes on from there.

Later epochs, other candidates and other seeds find it again, because it is kept by content: under a hash of the weights
that made it, of the rows, of the depth and of the precision (Nakandala and Kumar 2022, Nautilus, materialise frozen
layers for model selection). In memory within a limit, beyond it in a file that is mapped into memory.

A dropout inside the prefix is off: its masks would have to be drawn anew each time. Without dropout nothing changes.

Legend: S tokens of all rows, D width.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sartor.batch import Batch
from sartor.body import Body
from sartor.disk import cache_folder, sync
from sartor.engine.environment import CGROUP_LIMIT, memory_bytes
from sartor.engine.features import cuts
from sartor.engine.operators import Operators
from sartor.engine.precision import running
from sartor.pretrained.gate import sha256

SHARE = 0.25
"""Of the machine's memory: what all kept prefixes together may take."""
SPARE = 1.1
"""Room a file needs on the disk, in its sizes."""
TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Place = Literal["memory", "disk", "nowhere"]


@dataclass
class PrefixCache:
    """Prefixes by content. `limit`: bytes in memory; `folder`: where larger ones lie, made when first needed."""

    limit: int = field(default_factory=lambda: int(SHARE * memory_bytes(CGROUP_LIMIT)))
    folder: Path = field(default_factory=lambda: cache_folder() / "prefix")
    kept: dict[str, Tensor] = field(default_factory=dict)

    def place(self, size: int) -> Place:
        """Where so many bytes more would go."""
        if size + sum(t.nbytes for t in self.kept.values()) <= self.limit:
            return "memory"
        there = next(p for p in (self.folder, *self.folder.parents) if p.exists())
        return "disk" if shutil.disk_usage(there).free >= SPARE * size else "nowhere"

    def behind(self, body: Body, examples: Batch, depth: int, precision: str) -> Batch:
        """The examples with the work of the first `depth` blocks done; as they are where there is room nowhere."""
        key = content(body, examples, depth, precision)
        found = self.kept.get(key)
        if found is None:
            size = size_of(body, examples, precision)
            place = self.place(size)
            if place == "nowhere":
                return examples
            if place == "disk":
                return examples.behind(depth, self._on_disk(key, body, examples, depth, precision))
            out = torch.empty(len_of(examples), body.width, dtype=TYPES[precision])
            found = self.kept[key] = _computed(body, examples, depth, precision, out)
        return examples.behind(depth, found)

    def _on_disk(self, key: str, body: Body, examples: Batch, depth: int, precision: str) -> Tensor:
        """The mapped file of this content: found whole, or written beside, synced and renamed."""
        shape, kind = (len_of(examples), body.width), TYPES[precision]
        file, note = self.folder / f"{key}.bin", self.folder / f"{key}.json"
        if not _is_whole(file, note, key):
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = self.folder / f".{uuid.uuid4().hex}.part"
            try:
                _computed(body, examples, depth, precision, _mapped(beside, shape, kind))
                sync(beside)
                said = json.dumps({"content": key, "sha256": sha256(beside), "shape": shape, "type": precision})
                beside.rename(file)
                note.write_text(said, "utf-8")
                sync(note)
            finally:
                beside.unlink(missing_ok=True)
        return _mapped(file, shape, kind)


def content(body: Body, examples: Batch, depth: int, precision: str) -> str:
    """A hash of everything a prefix depends on: weights of the body outside the blocks behind it, rows, precision."""
    digest = hashlib.sha256(json.dumps([depth, precision, type(body).__name__]).encode())
    later = {id(p) for block in body.blocks()[depth:] for p in block.parameters()}
    for name, weight in body.named_parameters():
        if id(weight) not in later:
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    for values in (examples.offsets, *examples.sequences.values()):
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def size_of(body: Body, examples: Batch, precision: str) -> int:
    """Bytes of a prefix."""
    return len_of(examples) * body.width * TYPES[precision].itemsize


def len_of(examples: Batch) -> int:
    """S, the tokens of all rows."""
    return int(examples.offsets[-1])


@torch.no_grad()
def _computed(body: Body, examples: Batch, depth: int, precision: str, out: Tensor) -> Tensor:
    """(S, D) what block `depth` reads, dropout off, written into `out`."""
    training = body.training
    body.eval()
    mode = running(Operators(body, precision), precision)
    try:
        for places in cuts(examples):
            with mode():
                hidden = body.prefix(examples.take(places), depth)
            out[examples.tokens(places)[0]] = hidden.to(out.dtype)
    finally:
        body.train(training)
    return out


def _mapped(file: Path, shape: tuple[int, int], kind: torch.dtype) -> Tensor:
    return torch.from_file(str(file), shared=True, size=shape[0] * shape[1], dtype=kind).view(shape)


def _is_whole(file: Path, note: Path, key: str) -> bool:
    """Whether the file was finished and is what was written; a name alone is not believed."""
    try:
        said: dict[str, Any] = json.loads(note.read_text("utf-8"))
        return said.get("content") == key and file.is_file() and sha256(file) == said.get("sha256")
    except (OSError, ValueError, AttributeError):
        return False
