"""`sartor compress`: a bundle made smaller, and what that did, measured on the artefact itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sartor import part as parts
from sartor.compressor import Compressor
from sartor.data.hints import Hints
from sartor.engine.progress import Progress
from sartor.run_folder import RunFolder

if TYPE_CHECKING:
    from sartor.bundle import Bundle
    from sartor.data.rows import Rows

SECONDS = 12.0
"""For timing both forms."""


@dataclass(frozen=True)
class CompressResult:
    """Before and after, on the same held-out rows with one ruler.

    result  `before` and `after`: `metrics` with intervals, `costs`; `comparison` of after with before, paired; `made`:
            what each compressor says; `bundle`
    """

    folder: Path
    result: Mapping[str, Any]

    @property
    def bundle(self) -> Bundle:
        """The compressed model, loaded."""
        from sartor.bundle import Bundle

        return Bundle.load(str(self.result["bundle"]))

    def to_json(self) -> dict[str, Any]:
        return dict(self.result)

    def __repr__(self) -> str:
        from sartor.report.terminal import compression

        return compression(self.result)

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        return block(repr(self))


def compress(
    bundle: Any,
    data: Any,
    with_: Sequence[str],
    *,
    hints: Hints = Hints(),  # noqa: B008
    test: Any = None,
    seed: int = 0,
    out: str | Path,
    overwrite: bool = False,
    dry_run: bool = False,
    command: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CompressResult:
    """Compress a bundle by the compressors `with_`, in their order, and measure it beside the bundle it came from.

    data   labelled rows. Their training part, by the split that training makes with the same seed, calibrates the
           compressors and is what they train on; their test part, or the file `test`, is what both forms are scored on
    Raises `BadInput` before anything is written.
    """
    from sartor.compressing import refuse
    from sartor.measuring import labelled, opened

    RunFolder.free(out, overwrite=overwrite)
    compressors = [cast(Compressor, parts.part("compressors", spelled)) for spelled in with_]
    made = opened(bundle)
    refuse(made, compressors)
    rows = labelled(made, data, hints)
    split = made.task.reading.divide(rows, seed, None, None if test is None else labelled(made, test, hints))
    told = {"from": str(made.path), "with": [c.spelled() for c in compressors], "parts": split.sizes()}
    if dry_run:
        return CompressResult(Path(out), {**told, "dry_run": True, "would_write": str(out)})
    folder = RunFolder.claim(out, overwrite=overwrite)
    said = command or f"sartor.compress({str(made.path)!r}, {data!r}, {list(with_)!r})"
    folder.write_json("config.json", {**told, "seed": seed, "command": said})
    result = _carried_out(made, compressors, split.train, split.test, folder, progress or (lambda _: None))
    result = {**told, **result, "command": said, "folder": str(folder.path)}
    folder.write_json("report.json", result)
    return CompressResult(folder.path, result)


def _carried_out(
    before: Bundle,
    compressors: Sequence[Compressor],
    train: Rows,
    held: Rows,
    folder: RunFolder,
    show: Callable[[Progress], None],
) -> dict[str, Any]:
    from sartor.bundle import with_card
    from sartor.compressing import compress as cut
    from sartor.measuring import intervals
    from sartor.report.card import card
    from sartor.saving import stored

    count, done = len(compressors), iter(range(len(compressors)))

    def say(spelled: str) -> None:
        show(Progress("compress", next(done), count, message=spelled))

    after = cut(before, compressors, train, folder.path / "bundle", say)
    show(Progress("measure", message="latency, throughput, memory, size"))
    costs = _costs(before, after, held)
    task, said = before.task, {}
    for name, made in (("before", before), ("after", after)):
        said[name] = task.asking.ask(task, made.answer, held)
    found = {name: {"metrics": intervals(task, p, held), "costs": costs[name]} for name, p in said.items()}
    facts = {
        **after.card,
        "test": found["after"]["metrics"],
        "metrics": {name: one["value"] for name, one in found["after"]["metrics"].items()},
        "costs": costs["after"],
        "stored": stored(after.path),
        "compressed_from": {"metrics": found["before"]["metrics"], "costs": costs["before"]},
    }
    with_card(after.path, after.path, facts, card(facts))
    compared = _compared(before, said["after"], said["before"], held)
    return {**found, "comparison": compared, "made": after.card["compression"], "bundle": str(after.path)}


def _compared(bundle: Bundle, after: Any, before: Any, held: Rows) -> dict[str, Any]:
    """After minus before, paired row by row."""
    from sartor.position.verdict import compare_predictions

    task = bundle.task
    scored = [(p, task.score(p, held)) for p in (after, before)]
    return compare_predictions(task, scored[0], scored[1], held, scored[0][1].headline, seed=0).to_json()


def _costs(before: Bundle, after: Bundle, held: Rows) -> dict[str, dict[str, Any]]:
    """Both forms in turn on the same rows; memory in a process of its own."""
    from sartor.engine.measure import measure
    from sartor.engine.memory import peak_memory_mb, size_mb
    from sartor.saving import lent_bytes

    bundles = {"before": before, "after": after}
    answers = {name: b.task.asking.served(b.task, b.answer, held) for name, b in bundles.items()}
    timings, _ = measure(answers, held, seconds=SECONDS)
    found = {}
    for name, b in bundles.items():
        memory = peak_memory_mb(b.path, held)
        costs = timings[name].costs(peak_memory_mb=memory, size_mb=size_mb(b.path, lent_bytes(b.path)))
        found[name] = costs.to_json()
    return found
