"""The model card of a bundle: README.md with the metadata that the Hub reads, filled from measurements only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sartor import part as parts
from sartor.data.inputs import CELLS
from sartor.report.plain import shown
from sartor.report.quantities import COSTS, NOT_MEASURED, count, finite, quantity, spread

Info = Mapping[str, Any]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def card(info: Info) -> str:
    """YAML front matter, then sections; what nobody measured says so. The licence is unknown here and left out."""
    sections = [
        _opening(info),
        _quality(info),
        *_of_tasks(info),
        _costs(info),
        changed_section(info),
        _compression(info),
        _labels(info),
        _training(info),
        _use(info),
        _notes(info),
    ]
    return f"---\n{_front(info)}---\n\n" + "\n\n".join(s for s in sections if s) + "\n"


def _front(info: Info) -> str:
    import yaml

    return str(yaml.safe_dump(metadata(info), sort_keys=False, allow_unicode=True, width=1000))


def metadata(info: Info) -> dict[str, Any]:
    """The front matter as plain values; YAML's own writer quotes whatever needs it."""
    made: dict[str, Any] = {"library_name": _library(info)}
    made |= {"pipeline_tag": _pipeline(info, info["pipeline_tag"])} if info.get("pipeline_tag") else {}
    model, data = _base_model(info), (info.get("data") or {}).get("source")
    made |= {"base_model": model} if model else {}
    made |= {"datasets": [data[3:]]} if isinstance(data, str) and data.startswith("hf:") and _hub(data[3:]) else {}
    made["tags"] = ["sartor", *([_part_name(info, "method")] if _part_name(info, "method") else [])]
    results = _measured(info)
    made |= {"metrics": [r["type"] for r in results]} if results else {}
    return made | ({"model-index": [_index(info, results)]} if results else {})


def _index(info: Info, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results by data set; of a model for several tasks, each one's."""
    source = shown((info.get("data") or {}).get("source") or "unknown", 100)
    found = [_result(_pipeline(info, info.get("pipeline_tag") or _part_name(info, "task")), source, results)]
    for name, told in (info.get("tasks") or {}).items():
        task = _pipeline(info, shown(told.get("pipeline_tag") or told.get("task") or "", 60))
        found.append(_result(task, shown(name, 100), _measured(told)))
    return {"name": title(info), "results": found}


def _result(task: str, source: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    dataset = {"name": source, "type": source, "split": "test"}
    return {"task": {"type": task or "other"}, "dataset": dataset, "metrics": list(results)}


def _pipeline(info: Info, tag: str) -> str:
    """What transformers calls a pipeline of such models: the name is by what the model reads."""
    reads = _reads(info)
    kind = f"{next(iter(reads))}-" if reads in ({"image"}, {"audio"}) else "text-"
    kind = "tabular-" if reads and reads <= set(CELLS) else kind
    return tag.replace("text-", kind)


def _reads(info: Info) -> frozenset[str]:
    """The kinds of column that the part behind the answers says it reads; none where it is somebody's own."""
    for shelf in ("backbone", "baseline"):
        made = _class_of(info, shelf)
        if made is not None:
            found: Any = getattr(made, "reads", None)
            return found if isinstance(found, frozenset) else frozenset()
    return frozenset()


def _class_of(info: Info, shelf: str) -> Any:
    """The part's class where it is on the shelf; None where it is somebody's own or there is none."""
    name = _part_name(info, shelf)
    return parts.part_class(f"{shelf}s", name) if name in parts.names(f"{shelf}s") else None


def _measured(info: Info) -> list[dict[str, Any]]:
    """The test part's metrics; nothing is claimed from the validation part, which selection has seen."""
    made = []
    for key, value in (info.get("test") or {}).items():
        found = spread(value)
        if found is not None:
            made.append({"type": shown(key, 60), "name": shown(quantity(str(key)).title, 60), "value": found.value})
    return made


def title(info: Info) -> str:
    """The backbone and the method, as on the command line."""
    parts = [_part_name(info, "backbone"), _part_name(info, "method")]
    return " + ".join(p for p in parts if p) or shown((info.get("recipe") or {}).get("part") or "sartor model", 80)


def _part_name(info: Info, shelf: str) -> str:
    part = (info.get("recipe") or {}).get(shelf) or {}
    return shown(part.get("part") or "", 60) if isinstance(part, Mapping) else shown(part, 60)


def _library(info: Info) -> str:
    if not _part_name(info, "backbone"):
        return "sartor"
    stored = info.get("stored") or {}
    if stored.get("form") == "changed":
        return "peft" if stored.get("peft") else "sartor"
    return str(getattr(_class_of(info, "backbone"), "library", "transformers"))


def _base_model(info: Info) -> str | None:
    name = info.get("base_model")
    return name if isinstance(name, str) and _hub(name) else None


def _hub(name: str) -> bool:
    return _HUB_NAME.fullmatch(name) is not None


def escaped(value: object, limit: int = 200) -> str:
    """User text inside Markdown: one line, no markup, no link, no HTML."""
    text = shown(value, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:@/=])", r"\\\1", text)


def _opening(info: Info) -> str:
    data = info.get("data") or {}
    task, source = _part_name(info, "task") or "prediction", escaped(data.get("source") or "data that was not named")
    trained = f"A model for {escaped(task)}, fitted by Sartor to {source}"
    target = f" to predict {escaped(data['target'])}" if data.get("target") else ""
    return f"# {escaped(title(info))}\n\n{trained}{target}."


def _quality(info: Info) -> str:
    found = _of_parts(info)
    if not found:
        return f"## Quality\n\n{NOT_MEASURED.capitalize()}."
    told = "The test part was used once, after every choice was made; the validation part was used to choose."
    return f"## Quality\n\n{told}\n\n{found}"


def _of_tasks(info: Info) -> list[str]:
    """A section for each task of a model that has several."""
    weights = (info.get("objective") or {}).get("weights") or {}
    sections = []
    for name, told in (info.get("tasks") or {}).items():
        weight = finite(weights.get(name))
        said = [] if weight is None else [f"Its loss counts {weight:.3g} times, as the objective learned."]
        labels = ", ".join(escaped(label, 80) for label in list(told.get("labels") or [])[:100])
        said += [f"Labels: {labels}"] if labels else []
        sections.append("\n\n".join([f"## Task {escaped(name)}", *said, _of_parts(told) or NOT_MEASURED]))
    return sections


def _of_parts(info: Info) -> str:
    """The metrics on the test and the validation part, as a table; nothing where none was measured."""
    test, validation = info.get("test") or {}, info.get("metrics") or {}
    keys = list(dict.fromkeys([*test, *validation]))
    rows = [
        [_title(k), quantity(str(k)).full(spread(test.get(k))), quantity(str(k)).full(spread(validation.get(k)))]
        for k in keys
    ]
    return f"{_table(['Metric', 'Test', 'Validation'], rows)}{_how(test)}" if rows else ""


def _how(test: Mapping[str, Any]) -> str:
    about: Mapping[str, Any] = next((v for v in test.values() if isinstance(v, Mapping) and v.get("method")), {})
    if not about:
        return ""
    level = finite(about.get("level"))
    said = f"{level:.0%} intervals" if level else "Intervals"
    rows = f", {count(about['n'])} {escaped(about.get('unit') or 'rows', 20)}" if about.get("n") else ""
    return f"\n\n{said}: {escaped(about['method'])}{rows}."


def _costs(info: Info) -> str:
    costs = info.get("costs") or {}
    rows = [[quantity(k).title, quantity(k).full(spread(costs.get(k)))] for k in COSTS]
    return f"## Costs\n\n{_table(['Cost', 'Measured'], rows)}"


def changed_section(info: Info) -> str:
    """How many weights moved, what is stored of them, and what it needs besides."""
    counted, stored = info.get("parameters") or {}, info.get("stored") or {}
    if not counted and not stored:
        return ""
    trained, there = finite(counted.get("trained")), finite(counted.get("all"))
    share = f" of {count(there)} ({trained / there:.2%})" if trained is not None and there else ""
    rows = [["Weights trained", count(trained) + share], ["Bytes of weights stored", count(stored.get("bytes"))]]
    if stored.get("form") == "merged":
        rows.append(["Stored", "merged into the backbone and whole: it needs nothing else"])
    if lent := stored.get("lent"):
        needs = f"{count(lent['bytes'])} bytes of {escaped(lent['backbone'])}, content sha256 {escaped(lent['sha256'])}"
        rows += [["Stored", "only what changed; the size above counts what it needs besides"], ["Needs besides", needs]]
    told = info.get("method") or {}
    rows += [[_worded(key), count(value)] for key, value in told.items() if not isinstance(value, Mapping)]
    return f"## What moved\n\n{_table(['What', 'Value'], rows)}{_each(told)}{in_plain_peft(stored)}"


def _compression(info: Info) -> str:
    """What was cut away after training, and what the whole network was like where that was measured."""
    told, before = info.get("compression") or {}, info.get("compressed_from") or {}
    rows = [
        [escaped(cut), _worded(key), f"{value:g}" if isinstance(value, int | float) else escaped(value)]
        for cut, facts in told.items()
        for key, value in facts.items()
    ]
    if not rows:
        return ""
    said = f"## What was cut away\n\n{_table(['Compressor', 'What', 'Value'], rows)}"
    were = [[quantity(k).title, quantity(k).full(spread(v))] for k, v in before.get("metrics", {}).items()]
    were += [[quantity(k).title, quantity(k).full(spread(v))] for k, v in before.get("costs", {}).items() if k in COSTS]
    return said + (f"\n\nBefore that, on the same rows:\n\n{_table(['Measure', 'Before'], were)}" if were else "")


def _each(told: Info) -> str:
    """What a method says of each of its layers: ranks, for one that chooses them."""
    tables = {key: value for key, value in told.items() if isinstance(value, Mapping)}
    made = [
        _table(["Layer", _worded(key)], [[escaped(name), count(n)] for name, n in value.items()])
        for key, value in tables.items()
    ]
    return "".join(f"\n\n{table}" for table in made)


def _worded(key: str) -> str:
    return escaped(key.replace("_", " ").capitalize(), 60)


def in_plain_peft(stored: Info) -> str:
    """What PEFT without Sartor makes of the bundle, and what it does not."""
    kind = (stored.get("peft") or {}).get("task_type")
    if kind == "SEQ_CLS":
        told = "Plain PEFT on the same backbone, opened as AutoModelForSequenceClassification with as many labels, "
        return f"\n\n{told}gives the same outputs: the head is in the adapter."
    if kind == "FEATURE_EXTRACTION":
        told = (
            "Plain PEFT on the same backbone, opened as AutoModel, gives the same token vectors (`last_hidden_state`). "
        )
        told += (
            "It does not give the outputs: the mean of the tokens, its normalisation and the head are Sartor's, and "
        )
        return f"\n\n{told}the head lies in `sartor/changed.safetensors`."
    return ""


def _labels(info: Info) -> str:
    labels = list(info.get("labels") or [])
    if not labels:
        return ""
    listed = ", ".join(escaped(label, 80) for label in labels[:100])
    return f"## Labels\n\n{len(labels):,}: {listed}" + (f" and {len(labels) - 100:,} more" if len(labels) > 100 else "")


def _training(info: Info) -> str:
    data, plan = info.get("data") or {}, (info.get("recipe") or {}).get("plan") or {}
    parts = ", ".join(f"{escaped(k, 40)} {count(v)}" for k, v in (data.get("parts") or {}).items())
    facts = [("Rows", count(data.get("rows"))), ("Parts", parts), ("Split", escaped(data.get("how") or ""))]
    facts += [("Fingerprint of the data", escaped(data.get("fingerprint") or ""))]
    facts += [(escaped(k, 60), escaped(v)) for k, v in plan.items() if v is not None]
    return f"## Training\n\n{_table(['What', 'Value'], [[k, v or NOT_MEASURED] for k, v in facts])}"


def _use(info: Info) -> str:
    snippets = info.get("how_to_use") or {}
    items = snippets.items() if isinstance(snippets, Mapping) else enumerate(snippets)
    blocks = [
        f"{'' if isinstance(k, int) else f'With {escaped(k, 40)}:' + chr(10) * 2}{_code(str(v))}" for k, v in items
    ]
    return "## How to use\n\n" + "\n\n".join(blocks) if blocks else ""


def _code(text: str) -> str:
    """A fenced block that the text inside cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(shown(line, 2000) for line in text.splitlines())
    return f"{fence}python\n{lines}\n{fence}"


def _notes(info: Info) -> str:
    notes: Iterable[object] = info.get("notes") or []
    listed = "\n".join(f"- {escaped(note, 600)}" for note in notes)
    return f"## Notes\n\n{listed}" if listed else ""


def _title(key: object) -> str:
    return escaped(quantity(str(key)).title, 60)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines)
