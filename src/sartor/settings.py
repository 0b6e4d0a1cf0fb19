"""Settings: every word a run can be given, once. One setting = one flag = one config key = one SARTOR_ variable.

Precedence: flag > environment > file > default. Whatever its origin, a value arrives as text and is read by its
setting, so the same words mean the same everywhere; errors name the place that the value came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.config import Entry, read_config
from sartor.errors import BadInput, did_you_mean, nearest
from sartor.spelling import Given, Read, column_kind, one_of, path, positive, seconds, spelled, whole, words

PLAN = "plan"
TASKS = "tasks"
"""Several data sets, each under a name with settings of its own: tasks.NAME.SETTING."""


@dataclass(frozen=True)
class Setting:
    """One word. `read` turns text into its value; `many`: it may be given again and again."""

    name: str
    read: Read
    metavar: str
    example: str
    help: str
    many: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


_COLUMNS = (
    Setting("target", words, "COLUMN", "stars", "The column to predict."),
    Setting("text", words, "COLUMN", "review", "A column to read; give it twice for a pair of texts.", many=True),
    Setting("ignore", words, "COLUMN", "id", "A column to leave out.", many=True),
    Setting("kind", column_kind, "COLUMN=KIND", "age=number", "What a column holds, as COLUMN=KIND.", many=True),
    Setting("group", words, "COLUMN", "author", "Rows that share its value stay in one part of the split."),
    Setting("time", words, "COLUMN", "date", "Split in its order: train before validation before test."),
    Setting("labels", words, "LABEL", "no", "A label that may occur; give every one.", many=True),
    Setting("skip_bad", whole, "NUMBER", "10", "Leave out at most so many rows whose image or sound cannot be read."),
)
_SPLIT = (
    Setting("validation", path, "PATH", "dev.csv", "The validation part, where you have one."),
    Setting("test", path, "PATH", "test.csv", "The test part, where you have one."),
    Setting("seed", whole, "NUMBER", "3", "Decides the split and everything that is drawn."),
)
_RUN = (
    Setting("task", spelled("tasks"), "PART", "classification", "What is predicted; guessed from the target."),
    Setting("backbone", spelled("backbones"), "PART", "minilm", "Which network (sartor show backbones)."),
    Setting("method", spelled("methods"), "PART", "lora:r=16", "Which weights move (sartor show methods)."),
    Setting(
        "objective", spelled("objectives"), "PART", "supervised", "What the gradient descends; else the method's own."
    ),
    Setting(
        "save",
        one_of("merged", "changed"),
        "FORM",
        "changed",
        "merged: whole, for plain transformers; changed: only what moved, on its backbone.",
    ),
    Setting("with", spelled("compressors"), "PART", "quantize", "What to cut away, in this order.", many=True),
    Setting("out", path, "PATH", "runs/reviews", "Where to write; by default a new name."),
    Setting("budget", seconds, "TIME", "10m", "Wall time, such as 90s, 10m or 1h; 5m by default."),
    Setting(
        "candidates", words, "NAME", "minilm+lora:r=8@5e-4", "What to race: a list's name or one candidate.", many=True
    ),
    Setting("metric", words, "NAME", "accuracy", "What counts; by default the task's own."),
    Setting("task_name", words, "NAME", "sst2", "Which task of a bundle that has several, for all rows."),
    Setting("max_latency_ms", positive, "NUMBER", "20", "The slowest answer that is acceptable (median, batch 1)."),
    Setting("max_size_mb", positive, "NUMBER", "100", "The largest bundle that is acceptable."),
    Setting("max_memory_mb", positive, "NUMBER", "2000", "The most memory that answering may take."),
)
_DATA = Setting("data", path, "PATH", "reviews.csv", "A file, a folder or zip of images, hf:owner/name, example:NAME.")
SETTINGS = {s.name: s for s in (_DATA, *_COLUMNS, *_SPLIT, *_RUN)}
COLUMNS = tuple(s.name for s in _COLUMNS)
SPLIT = tuple(s.name for s in _SPLIT)
OF_A_TASK = ("data", *COLUMNS, "validation", "test", "task")
"""What can be said of one data set among several."""

Layer = dict[str, list[Given]]


def resolve(
    accepted: Sequence[str],
    flags: Mapping[str, Sequence[str]],
    assigned: Sequence[str],
    config: str | None,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """name -> value for what was given among `accepted` (`plan` gathers its own fields). Raises `BadInput`."""
    known = (*SETTINGS, PLAN, TASKS)
    layers = [
        _from_file(config, known) if config is not None else {},
        _from_environment(environment),
        _from_flags(flags),
    ]
    layers[-1] = _with_assigned(layers[-1], assigned, known)
    found: Layer = {}
    for layer in layers:
        found |= layer
    values = {name: _read(SETTINGS[name], found[name]) for name in found if name in SETTINGS and name in accepted}
    plan = {name: given[0] for name, given in found.items() if name.startswith(f"{PLAN}.")}
    values |= {PLAN: _plan(plan)} if plan and PLAN in accepted else {}
    tasks = {name: given for name, given in found.items() if name.startswith(f"{TASKS}.")}
    return _one_seed(values | ({TASKS: _tasks(tasks)} if tasks and TASKS in accepted else {}), found)


def _from_flags(flags: Mapping[str, Sequence[str]]) -> Layer:
    found: Layer = {}
    for name, texts in flags.items():
        given = [Given(text, SETTINGS[name].flag) for text in texts]
        if not SETTINGS[name].many and len(set(texts)) > 1:
            raise given[1].bad("DUPLICATE", f"it is given twice, '{texts[0]}' and '{texts[1]}'", "keep one")
        if given:
            found[name] = given if SETTINGS[name].many else given[:1]
    return found


def _from_environment(environment: Mapping[str, str]) -> Layer:
    """The SARTOR_ variables; one that nearly names a setting is a mistake, any other belongs to somebody else."""
    found: Layer = {}
    for variable, text in environment.items():
        if variable.startswith("SARTOR_"):
            name = variable.removeprefix("SARTOR_").lower()
            if name in SETTINGS:
                found[name] = [Given(text, variable)]
            elif close := nearest(name, SETTINGS):
                fix = f"did you mean SARTOR_{close.upper()}? Unset it otherwise"
                raise BadInput("CLI_ENV_UNKNOWN", "no setting has this name", fix=fix, where=variable)
    return found


def _from_file(config: str, known: Sequence[str]) -> Layer:
    found: Layer = {}
    for key, entry in read_config(Path(config)).items():
        if key == PLAN and isinstance(entry.value, dict):
            found |= {f"{PLAN}.{name}": _texts(value, name) for name, value in entry.value.items()}
        elif key == PLAN and entry.value is not None:
            raise BadInput("CFG_TYPE", "plan is no mapping", fix="write `plan:` and indented keys", where=entry.where)
        elif key == TASKS:
            found |= _tasks_of_file(entry)
        elif key in known:
            found[key] = _texts(entry, key)
        else:
            raise _unknown_key(key, known, Given(None, entry.where, "CFG"))
    return {name: given for name, given in found.items() if given}


def _tasks_of_file(entry: Entry) -> Layer:
    """`tasks:` and under it a name each, with a path or with settings."""
    if not isinstance(entry.value, dict):
        fix = "write `tasks:` and indented lines such as `reviews: reviews.csv`"
        raise BadInput("CFG_TYPE", "tasks is no mapping", fix=fix, where=entry.where)
    found: Layer = {}
    for name, one in entry.value.items():
        said = one.value if isinstance(one.value, dict) else {"data": one}
        found |= {f"{TASKS}.{name}.{key}": _texts(value, key) for key, value in said.items()}
    return found


def _tasks(given: Mapping[str, Sequence[Given]]) -> dict[str, dict[str, Any]]:
    """Name -> setting -> value."""
    found: dict[str, dict[str, Any]] = {}
    for dotted, texts in given.items():
        name, _, key = dotted.removeprefix(f"{TASKS}.").rpartition(".")
        if not name or key not in OF_A_TASK:
            fix = did_you_mean(key, OF_A_TASK) if name else "write tasks.NAME.SETTING, such as tasks.reviews.target"
            raise BadInput(
                "CFG_KEY_UNKNOWN", f"tasks.{name or key} has no setting '{key}'", fix=fix, where=texts[0].where
            )
        found.setdefault(name, {})[key] = _read(SETTINGS[key], texts)
    return found


def _unknown_key(key: str, known: Sequence[str], given: Given) -> BadInput:
    from sartor.recipe import Plan

    dashed = key.replace("-", "_")
    moved = key in Plan.known()
    fix = f"it belongs under plan: plan.{key}" if moved else did_you_mean(dashed, known)
    return BadInput("CFG_KEY_UNKNOWN", f"there is no setting '{key}'", fix=fix, where=given.where)


def _texts(entry: Entry, key: str) -> list[Given]:
    """The texts of a file's value: one, several for a list, `KEY=VALUE` for `kind` written as a mapping."""
    if entry.value is None:
        return []
    if isinstance(entry.value, tuple):
        return [given for item in entry.value for given in _one_text(item, key)]
    if isinstance(entry.value, dict) and key == "kind":
        return [Given(f"{column}={item.value}", item.where, "CFG") for column, item in entry.value.items()]
    return _one_text(entry, key)


def _one_text(entry: Entry, key: str) -> list[Given]:
    if not isinstance(entry.value, str):
        raise BadInput("CFG_TYPE", f"{key} needs a plain value here", fix="write a word or a number", where=entry.where)
    return [Given(entry.value, entry.where, "CFG")]


def _with_assigned(flags: Layer, assigned: Sequence[str], known: Sequence[str]) -> Layer:
    """The flags with what `--set KEY=VALUE` adds; naming one thing twice with two values is an error."""
    found = dict(flags)
    for piece in assigned:
        key, equals, text = piece.partition("=")
        given = Given(text, f"--set {key}")
        if not equals or not key:
            raise BadInput("CLI_SET", f"'{piece}' is not KEY=VALUE", fix="write --set plan.seed=3", where="--set")
        if key not in SETTINGS and not key.startswith((f"{PLAN}.", f"{TASKS}.")):
            raise _unknown_key(key, known, given)
        setting = key.rpartition(".")[2] if key.startswith(f"{TASKS}.") else key
        many = setting in SETTINGS and SETTINGS[setting].many
        if key in found and not many and found[key][0].value != text:
            raise given.bad("DUPLICATE", f"it is given twice, '{found[key][0].value}' and '{text}'", "keep one")
        found[key] = [*found.get(key, []), given] if many else [given]
    return found


def _read(setting: Setting, given: Sequence[Given]) -> Any:
    if setting.many:
        texts = [g.value for g in given]
        for g in given:
            if texts.count(g.value) > 1:
                raise g.bad("DUPLICATE", f"'{g.value}' is given twice", "list it once")
        return _no_contradiction([setting.read(g.value, g) for g in given], given)
    if len(given) > 1:
        fix = f"write one value, such as {setting.example}"
        raise given[1].bad("TYPE", f"{setting.name} takes one value and has {len(given)}", fix)
    return setting.read(given[0].value, given[0])


def _no_contradiction(values: list[Any], given: Sequence[Given]) -> tuple[Any, ...]:
    """The values, unless two pairs give one column two kinds."""
    pairs: dict[str, str] = {}
    for value, g in zip(values, given, strict=True):
        if isinstance(value, tuple) and pairs.setdefault(value[0], value[1]) != value[1]:
            message = f"column '{value[0]}' is given two kinds, {pairs[value[0]]} and {value[1]}"
            raise g.bad("DUPLICATE", message, "keep one")
    return tuple(values)


def _plan(given: Mapping[str, Given]) -> dict[str, Any]:
    """Field of `Plan` -> value, each cast by its annotation and checked together."""
    from sartor.recipe import Plan, plan_from

    found: dict[str, Any] = {}
    for dotted, g in given.items():
        name = dotted.removeprefix(f"{PLAN}.")
        if name not in Plan.known():
            raise BadInput(
                "CFG_KEY_UNKNOWN", f"plan has no key '{name}'", fix=did_you_mean(name, Plan.known()), where=g.where
            )
        try:
            found[name] = getattr(plan_from({name: g.value}), name)
        except BadInput as error:
            raise g.bad("RANGE" if error.code == "VALUE_RANGE" else "TYPE", error.message, error.fix) from None
    return found


def _one_seed(values: dict[str, Any], found: Layer) -> dict[str, Any]:
    """`plan.seed` is the same thing as `seed`; whichever was given stands in `seed`."""
    planned = values.get(PLAN, {}).get("seed")
    if planned is None:
        return values
    if "seed" in values and values["seed"] != planned:
        message = f"seed is {values['seed']} and plan.seed is {planned}"
        raise found["plan.seed"][0].bad("CONFLICT", message, "give one of them")
    plan = {name: value for name, value in values[PLAN].items() if name != "seed"}
    return {**values, "seed": planned, PLAN: plan}
