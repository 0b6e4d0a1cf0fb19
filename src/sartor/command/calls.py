"""A call -> an answer: each verb's function is imported only when it is asked for."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sartor.command import output
from sartor.command.manual import LIMITS
from sartor.command.words import Call
from sartor.engine import launch
from sartor.engine.progress import Progress
from sartor.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from sartor.data.hints import Hints

Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Answer:
    """What a verb answered.

    result  the JSON object's `result`
    text    what a person reads
    brief   what --quiet prints
    code    the exit code
    """

    result: dict[str, Any]
    text: str
    brief: str
    code: int = 0


def answer(call: Call, show: Show) -> Answer:
    """Do what was asked. Raises `SartorError`."""
    if call.verb != "finetune":
        launch.alone(call.verb)
    return _RUN[call.verb](call, show)


def _hints(words: Mapping[str, Any]) -> Hints:
    from sartor.data.hints import Hints

    return Hints(
        target=words.get("target"),
        text=words.get("text", ()),
        ignore=words.get("ignore", ()),
        kinds=dict(words.get("kind", ())),
        group=words.get("group"),
        time=words.get("time"),
        labels=words.get("labels", ()),
        skip_bad=words.get("skip_bad", 0),
    )


def _check(call: Call, show: Show) -> Answer:
    from sartor.verbs.check import check

    words = call.words
    given = {name: words.get(name) for name in ("validation", "test")}
    done = check(
        call.arguments["data"], hints=_hints(words), task=words.get("task"), seed=words.get("seed", 0), **given
    )
    result = done.to_json()
    return Answer(
        result,
        _shown("lines_for_check", {**result, **result["schema"], **result["split"]}),
        "ok" if done.ok else "problems",
        0 if done.ok else 2,
    )


def _finetune(call: Call, show: Show) -> Answer:
    data = _data(call)
    words, out = call.words, _folder(call, data)
    from sartor.verbs.finetune import finetune

    chosen = {name: words[name] for name in ("backbone", "method", "objective", "save", "seed") if name in words}
    done = finetune(
        data,
        hints=_hints(words),
        task=words.get("task"),
        plan=words.get("plan", {}),
        out=out,
        validation=words.get("validation"),
        test=words.get("test"),
        **chosen,
        **_writing(call),
        progress=show,
    )
    result = done.to_json()
    text = would(result) if "dry_run" in call.switches else _shown("scores", _with_bounds(result))
    return Answer(result, text, str(result.get("bundle") or out))


def _position(call: Call, show: Show) -> Answer:
    words, out = call.words, _folder(call, call.arguments["data"])
    from sartor.verbs.position import position

    chosen: dict[str, Any] = {name: words[name] for name in ("budget", "seed", *LIMITS) if name in words}
    done = position(
        call.arguments["data"],
        hints=_hints(words),
        task=words.get("task"),
        out=out,
        candidates=words.get("candidates"),
        compress=words.get("with"),
        metric=words.get("metric"),
        validation=words.get("validation"),
        test=words.get("test"),
        plan=words.get("plan", {}),
        **chosen,
        **_writing(call),
        spent=time.monotonic() - call.began,
        progress=show,
    )
    result = done.to_json()
    pick = result.get("pick") or {}
    text = would(result) if "dry_run" in call.switches else _shown("table", result)
    return Answer(result, text, str(pick.get("bundle") or pick.get("name") or out))


def would(result: dict[str, Any]) -> str:
    """What a dry run of `finetune` or `position` would do, in lines."""
    data = result["data"]
    parts = ", ".join(f"{name} {count:,}" for name, count in data["parts"].items())
    lines = [f"would write  {result['out']}", f"data         {data['source']}: {parts} ({data['how']})"]
    lines.append(f"task         {data['task']['part']}")
    if "steps" in result:
        roles = ("backbone", "method", "objective")
        lines.append(
            f"train        {' + '.join(result['recipe'][role]['part'] for role in roles)}, {result['steps']:,} steps"
        )
    if "candidates" in result:
        lines.append(f"race         {len(result['candidates'])} candidates within {result['budget_seconds']:g} s:")
        lines += [f"  {candidate['name']}" for candidate in result["candidates"]]
    return "\n".join(_printable(lines))


def _printable(lines: list[str]) -> list[str]:
    """Lines without the control characters that names from the data could bring."""
    return ["".join(c if c.isprintable() else " " for c in line) for line in lines]


def _evaluate(call: Call, show: Show) -> Answer:
    from sartor.verbs.evaluate import evaluate

    given, words = call.arguments, call.words
    done = evaluate(given["bundle"], given["data"], hints=_hints(words), task_name=words.get("task_name"))
    result = done.to_json()
    headline = next(iter(result["metrics"].values()))
    return Answer(result, _shown("scores", _with_bounds(result)), str(headline))


def _with_bounds(result: dict[str, Any]) -> dict[str, Any]:
    """The same with every metric's interval beside its value, as people read it."""
    return {**result, "metrics": result["intervals"]}


def _compare(call: Call, show: Show) -> Answer:
    from sartor.verbs.compare import compare

    given, words = call.arguments, call.words
    chosen = {name: words.get(name) for name in ("metric", "task_name")}
    done = compare(given["a"], given["b"], given["data"], hints=_hints(words), **chosen)
    result = done.to_json()
    return Answer(result, _shown("comparison", second_against_first(result)), str(result["verdict"]))


def second_against_first(result: dict[str, Any]) -> dict[str, Any]:
    """`compare` states a minus b; people read what changes from A to B, and both sides of each metric in one line."""
    said = {"better": "A is better", "worse": "B is better", "tied": "tied", "undecided": "undecided"}
    turned = {"difference": "difference", "low": "high", "high": "low"}
    found = {key: None if result[of] is None else -result[of] for key, of in turned.items()}
    a, b = result["metrics"][result["a"]], result["metrics"][result["b"]]
    both = {name: {"a": a[name], "b": b[name]} for name in a}
    return {**result, **found, "verdict": said[result["verdict"]], "metrics": both}


def _compress(call: Call, show: Show) -> Answer:
    words, data = call.words, call.arguments["data"]
    out = words.get("out") or output.default_folder(data)
    inputs = [*call.arguments.values(), *([words["test"]] if "test" in words else [])]
    output.check_folder(out, inputs, resume=False, overwrite="overwrite" in call.switches)
    from sartor.verbs.compress import compress

    done = compress(
        call.arguments["bundle"],
        data,
        words.get("with", ()),
        hints=_hints(words),
        test=words.get("test"),
        seed=words.get("seed", 0),
        out=str(out),
        overwrite="overwrite" in call.switches,
        dry_run="dry_run" in call.switches,
        command=shlex.join(("sartor", *call.argv)),
        progress=show,
    )
    result = done.to_json()
    text = _shown("compression", result)
    return Answer(result, text, str(result.get("bundle") or out))


def _predict(call: Call, show: Show) -> Answer:
    given, out = call.arguments, call.words.get("out")
    overwrite, dry_run = "overwrite" in call.switches, "dry_run" in call.switches
    if out is not None:
        output.check_file(out, given.values(), overwrite=overwrite)
    from sartor.report.json_report import dumps
    from sartor.verbs.predict import predict

    done = predict(
        given["bundle"],
        given["data"],
        hints=_hints(call.words),
        task_name=call.words.get("task_name"),
        out=out,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    result = done.to_json()
    if out is not None or dry_run:
        return Answer(result, f"{'would write' if dry_run else 'wrote'} {out or 'to stdout'}", str(out or ""))
    lines = "\n".join(dumps(row) for row in done.predictions)
    return Answer(result, lines, lines)


def _show(call: Call, show: Show) -> Answer:
    from sartor.verbs.show import show as explain

    done = explain(call.arguments["what"])
    return Answer(done.to_json(), done.text, done.brief)


def _doctor(call: Call, show: Show) -> Answer:
    from sartor.verbs.doctor import doctor

    done = doctor()
    return Answer(done.to_json(), done.text, "ok" if done.ok else "problems", 0 if done.ok else 3)


def _init(call: Call, show: Show) -> Answer:
    from sartor.verbs.init import init

    dry_run = "dry_run" in call.switches
    out = call.words.get("out")
    done = init(call.arguments["data"], hints=_hints(call.words), out=out, dry_run=dry_run)
    text = done.text if dry_run else f"wrote {done.out}; next: sartor position --config {shlex.quote(done.out)}"
    return Answer(done.to_json(), text, done.out)


def _shown(how: str, result: dict[str, Any]) -> str:
    """The result as people read it. Imported late: a mistake must not wait for what shows results."""
    from sartor.report import terminal

    shown: str = getattr(terminal, how)(result)
    return shown.rstrip("\n")


def _data(call: Call) -> Any:
    """The data: one path, or name -> `Source` of several, what is said of one alone before what is said of all."""
    given, own = call.arguments.get("data", ()), call.words.get("tasks", {})
    if isinstance(given, str) and not own:
        return given
    from sartor.data.sources import Source, named

    paths: dict[str, str] = named((given,) if isinstance(given, str) else given)
    for name in own:
        if paths and name not in paths:
            fix = f"{did_you_mean(name, paths)}; or leave the paths out and give each its own with tasks.NAME.data"
            raise BadInput("TASKS_NAME", f"no data set is called '{name}'", fix=fix, where=f"tasks.{name}")
    made = {}
    for name in paths or own:
        said = {**call.words, **own.get(name, {})}
        if name not in paths and "data" not in said:
            fix = f"add tasks.{name}.data"
            raise BadInput("TASKS_DATA", f"the data set '{name}' has no data", fix=fix, where=f"tasks.{name}")
        parts = {key: own.get(name, {}).get(key) for key in ("task", "validation", "test")}
        made[name] = Source(paths.get(name) or said["data"], _hints(said), **parts)
    return made


def _folder(call: Call, data: Any) -> str:
    """The run's folder, checked."""
    words = call.words
    resume, overwrite = "resume" in call.switches, "overwrite" in call.switches
    if resume and "out" not in words:
        raise BadInput("CLI_CONFLICT", "--resume does not say which run", fix="name its folder with --out")
    several = data if isinstance(data, dict) else {}
    read = [part for one in several.values() for part in (one.data, one.validation, one.test) if part is not None]
    out = words.get("out") or output.default_folder("-".join(several) or data)
    inputs = [*(read or [data]), *(words[n] for n in ("validation", "test") if n in words)]
    output.check_folder(out, inputs, resume=resume, overwrite=overwrite)
    return str(out)


def _writing(call: Call) -> dict[str, Any]:
    on = {name: name in call.switches for name in ("resume", "overwrite", "dry_run")}
    return {**on, "command": shlex.join(("sartor", *call.argv))}


_RUN: dict[str, Callable[[Call, Show], Answer]] = {
    "check": _check,
    "init": _init,
    "position": _position,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "compare": _compare,
    "compress": _compress,
    "predict": _predict,
    "show": _show,
    "doctor": _doctor,
}
