"""The strict configuration file, and how its values meet flags and variables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sartor.config import MAX_BYTES, read_config
from sartor.errors import BadInput
from sartor.settings import COLUMNS, SETTINGS, SPLIT, resolve

EVERYTHING = (*SETTINGS, "plan")


def resolved(
    text: str = "",
    flags: Mapping[str, Sequence[str]] | None = None,
    assigned: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    suffix: str = ".yaml",
) -> dict[str, Any]:
    config = Path(f"run{suffix}")
    config.write_text(text, "utf-8")
    return resolve(EVERYTHING, flags or {}, assigned, str(config) if text else None, environment or {})


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plain(value: Any) -> Any:
    """Entries without their places."""
    if isinstance(value, dict):
        return {k: plain(v.value) for k, v in value.items()}
    return [plain(v.value) for v in value] if isinstance(value, tuple) else value


def test_every_value_is_the_text_that_stands_there() -> None:
    Path("run.yaml").write_text("a: no\nb: 012\nc: 12:30:45\nd: 1.10\ne: 1e-4\nf: [yes, 'x']\ng: {h: ~}\ni:\n", "utf-8")
    expected = {"a": "no", "b": "012", "c": "12:30:45", "d": "1.10", "e": "1e-4", "f": ["yes", "x"]}
    assert plain(read_config(Path("run.yaml"))) == {**expected, "g": {"h": None}, "i": None}


def test_entries_know_their_line() -> None:
    Path("run.yaml").write_text("# a comment\nseed: 3\n\ntarget: stars\n", "utf-8")
    found = read_config(Path("run.yaml"))
    assert (found["seed"].where, found["target"].where) == ("run.yaml:2", "run.yaml:4")


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_first_key() -> None:
    Path("run.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert list(read_config(Path("run.yaml"))) == ["seed"]


def test_json_is_read_like_yaml() -> None:
    text = '{\n\t"seed": 3,\n\t"labels": ["no", "\\ud83d\\ude00"],\n\t"plan": {"learning_rate": 1e-4, "dropout": null}}'
    assert resolved(text, suffix=".json") == {"seed": 3, "labels": ("no", "😀"), "plan": {"learning_rate": 1e-4}}


SENTENCES = {
    "unknown key": (
        "seed: 3\ntaget: stars\n",
        "error[CFG_KEY_UNKNOWN]: run.yaml:2: there is no setting 'taget'. Fix: did you mean 'target'? Known: ",
    ),
    "plan key at the top": (
        "learning_rate: 1e-4\n",
        "error[CFG_KEY_UNKNOWN]: run.yaml:1: there is no setting 'learning_rate'. "
        "Fix: it belongs under plan: plan.learning_rate.",
    ),
    "unknown plan key": (
        "plan:\n  learning_rat: 1\n",
        "error[CFG_KEY_UNKNOWN]: run.yaml:2: plan has no key 'learning_rat'. "
        "Fix: did you mean 'learning_rate'? Known: ",
    ),
    "duplicate key": (
        "seed: 1\ntarget: a\nseed: 2\n",
        "error[CFG_DUPLICATE]: run.yaml:3: 'seed' stands twice, first at run.yaml:1. Fix: keep one.",
    ),
    "tag": (
        "seed: !!python/object/apply:os.system [ls]\n",
        "error[CFG_TAG]: run.yaml:1: tags are not allowed. "
        "Fix: remove 'tag:yaml.org,2002:python/object/apply:os.system'.",
    ),
    "custom tag": ("seed: !foo 3\n", "error[CFG_TAG]: run.yaml:1: tags are not allowed. Fix: remove '!foo'."),
    "anchor": (
        "seed: &a 3\n",
        "error[CFG_ALIAS]: run.yaml:1: anchors and aliases are not allowed. Fix: write the value out.",
    ),
    "alias": (
        "seed: *a\n",
        "error[CFG_ALIAS]: run.yaml:1: anchors and aliases are not allowed. Fix: write the value out.",
    ),
    "merge key": (
        "<<: {seed: 3}\n",
        "error[CFG_ALIAS]: run.yaml:1: merge keys are not allowed. Fix: write the keys out.",
    ),
    "two documents": (
        "seed: 3\n---\nseed: 4\n",
        "error[CFG_MULTIDOC]: run.yaml:2: a second document begins. Fix: keep one document.",
    ),
    "deep": (
        "seed: " + "[" * 10_000 + "\n",
        "error[CFG_DEPTH]: run.yaml:1: values are nested deeper than 20 levels. Fix: write it flat.",
    ),
    "a list": ("- seed\n", "error[CFG_SHAPE]: run.yaml:1: the top level is no mapping. Fix: write `key: value` lines."),
    "a word": ("seed\n", "error[CFG_SHAPE]: run.yaml:1: the top level is no mapping. Fix: write `key: value` lines."),
    "only comments": (
        "# nothing\n",
        "error[CFG_EMPTY]: run.yaml: the file has no settings. Fix: `sartor init DATA` writes a draft.",
    ),
    "tab": (
        "plan:\n\tseed: 3\n",
        "error[CFG_SYNTAX]: run.yaml:2:1: this is not YAML (found character '\\t' that cannot start any token). "
        "Fix: indent with spaces, not tabs.",
    ),
    "open quote": (
        'seed: "3\ntarget: x\n',
        "error[CFG_SYNTAX]: run.yaml:3:1: this is not YAML (found unexpected end of stream; "
        "what is open began in line 1). Fix: close every quote and bracket, and write `key: value`.",
    ),
    "list as a key": (
        "? [a]\n: b\n",
        "error[CFG_KEY_TYPE]: run.yaml:1: a list or mapping is no key. Fix: write a plain name before the colon.",
    ),
    "list for a number": (
        "seed: [1, 2]\n",
        "error[CFG_TYPE]: run.yaml:1: seed takes one value and has 2. Fix: write one value, such as 3.",
    ),
    "mapping for a number": (
        "seed: {a: 1}\n",
        "error[CFG_TYPE]: run.yaml:1: seed needs a plain value here. Fix: write a word or a number.",
    ),
    "word for a number": (
        "seed: ten\n",
        "error[CFG_TYPE]: run.yaml:1: 'ten' is not a whole number. Fix: write it in digits, such as 3.",
    ),
    "plan is no mapping": (
        "plan: fast\n",
        "error[CFG_TYPE]: run.yaml:1: plan is no mapping. Fix: write `plan:` and indented keys.",
    ),
    "plan value of another type": (
        "plan:\n  learning_rate: fast\n",
        "error[CFG_TYPE]: run.yaml:2: plan.learning_rate is 'fast', not a number. "
        "Fix: write a number such as 0.1 or 1e-4.",
    ),
    "plan value out of range": (
        "plan:\n  warmup_ratio: 1.5\n",
        "error[CFG_RANGE]: run.yaml:2: plan.warmup_ratio is 1.5. Fix: give at least 0 and below 1.",
    ),
    "duration without unit": (
        "budget: 10\n",
        "error[CFG_DURATION]: run.yaml:1: '10' has no unit. Fix: write 10s, 10m or 10h.",
    ),
    "byte order mark inside": (
        "seed: 3\n\ufefftarget: x\n",
        "error[CFG_ENCODING]: run.yaml:2: a byte order mark stands here. Fix: remove it.",
    ),
    "same label twice": (
        "labels: [a, b, a]\n",
        "error[CFG_DUPLICATE]: run.yaml:1: 'a' is given twice. Fix: list it once.",
    ),
    "NUL": ("seed: \0\n", "error[CFG_NOT_TEXT]: run.yaml: the file holds NUL bytes. Fix: give a UTF-8 text file."),
    "control character": (
        "seed: \x07\n",
        "error[CFG_NOT_TEXT]: run.yaml: the file holds control characters. Fix: give a UTF-8 text file.",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence(name: str) -> None:
    text, sentence = SENTENCES[name]
    with pytest.raises(BadInput) as raised:
        resolved(text)
    assert str(raised.value) == sentence or (sentence.endswith("Known: ") and str(raised.value).startswith(sentence))


JSON_SENTENCES = {
    "NaN": ('{"seed": NaN}', "error[CFG_SYNTAX]: run.json: NaN is no JSON. Fix: write a finite number."),
    "comment": (
        '{"seed": 3} // three',
        "error[CFG_SYNTAX]: run.json:1:13: this is not JSON (Extra data). Fix: correct it here.",
    ),
    "duplicate": (
        '{"seed": 3,\n "seed": 4}',
        "error[CFG_DUPLICATE]: run.json:2: 'seed' stands twice, first at run.json:1. Fix: keep one.",
    ),
    "deep": (
        '{"seed": ' + "[" * 100_000,
        "error[CFG_DEPTH]: run.json: values are nested deeper than 20 levels. Fix: write it flat.",
    ),
}


@pytest.mark.parametrize("name", JSON_SENTENCES)
def test_json_sentence(name: str) -> None:
    text, sentence = JSON_SENTENCES[name]
    with pytest.raises(BadInput) as raised:
        resolved(text, suffix=".json")
    assert str(raised.value) == sentence


def test_a_json_file_with_a_trailing_comma_is_refused() -> None:
    with pytest.raises(BadInput, match=r"error\[CFG_SYNTAX\]: run\.json:1:\d+: this is not JSON"):
        resolved('{"seed": 3,}', suffix=".json")


BYTES = {
    "UTF-16": ("seed: 3".encode("utf-16"), "error[CFG_ENCODING]: run.yaml: the file is UTF-16. Fix: save it as UTF-8."),
    "Latin-1": (
        "seed: 3\ntarget: größe\n".encode("latin-1"),
        "error[CFG_ENCODING]: run.yaml:2: byte 18 is not UTF-8. Fix: save it as UTF-8.",
    ),
    "too large": (
        b"#" * (MAX_BYTES + 1),
        "error[CFG_SIZE]: run.yaml: the file is larger than 256000 bytes. Fix: give a configuration file.",
    ),
    "empty": (b"", "error[CFG_EMPTY]: run.yaml: the file has no settings. Fix: `sartor init DATA` writes a draft."),
}


@pytest.mark.parametrize("name", BYTES)
def test_file_sentence(name: str) -> None:
    raw, sentence = BYTES[name]
    Path("run.yaml").write_bytes(raw)
    with pytest.raises(BadInput) as raised:
        read_config(Path("run.yaml"))
    assert str(raised.value) == sentence


def test_a_path_that_is_no_file() -> None:
    Path("runs.yaml").write_text("seed: 3\n")
    Path("folder.yaml").mkdir()
    expected = {
        "run.yaml": "error[CFG_NOT_FOUND]: run.yaml: there is no such file. Fix: did you mean 'runs.yaml'?.",
        "zzz.yaml": "error[CFG_NOT_FOUND]: zzz.yaml: there is no such file. Fix: `sartor init DATA` writes a draft.",
        "folder.yaml": "error[CFG_IS_DIR]: folder.yaml: this is a folder. Fix: name the file inside it.",
        "run.toml": "error[CFG_FORMAT]: run.toml: the file is neither YAML nor JSON. Fix: name it .yaml or .json.",
    }
    for name, sentence in expected.items():
        with pytest.raises(BadInput) as raised:
            read_config(Path(name))
        assert str(raised.value) == sentence


def test_an_alias_bomb_costs_nothing() -> None:
    bomb = "a: &a [x,x]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(BadInput, match="CFG_ALIAS"):
        resolved(bomb)


def test_precedence_is_flag_then_environment_then_file() -> None:
    text = "seed: 1\ntarget: a\ngroup: g\n"
    environment = {"SARTOR_SEED": "2", "SARTOR_TARGET": "b", "SARTOR_HOME": "elsewhere"}
    found = resolved(text, {"seed": ["3"]}, environment=environment)
    assert found == {"seed": 3, "target": "b", "group": "g"}


def test_a_misspelt_variable_is_an_error_and_a_foreign_one_is_not() -> None:
    with pytest.raises(BadInput) as raised:
        resolved(environment={"SARTOR_BUGDET": "5m"})
    expected = "SARTOR_BUGDET: no setting has this name. Fix: did you mean SARTOR_BUDGET? Unset it otherwise."
    assert str(raised.value) == f"error[CLI_ENV_UNKNOWN]: {expected}"


def test_set_reaches_every_top_level_key_and_every_field_of_the_plan() -> None:
    found = resolved(
        "plan:\n  max_steps: 7\n  dropout: 0.1\n", assigned=["target=stars", "plan.dropout=none", "text=a", "text=b"]
    )
    assert found == {"target": "stars", "text": ("a", "b"), "plan": {"max_steps": 7, "dropout": None}}


def test_each_field_of_the_plan_can_be_set() -> None:
    from sartor.recipe import Plan

    for name in Plan.known():
        default = getattr(Plan(), name)
        assert resolved(assigned=[f"plan.{name}={'none' if default is None else default}"]) is not None


def test_plan_seed_is_the_seed() -> None:
    assert resolved(assigned=["plan.seed=3"]) == {"seed": 3, "plan": {}}
    assert resolved("seed: 3\n", assigned=["plan.seed=3"]) == {"seed": 3, "plan": {}}
    with pytest.raises(BadInput) as raised:
        resolved("seed: 4\n", assigned=["plan.seed=3"])
    expected = "error[CLI_CONFLICT]: --set plan.seed: seed is 4 and plan.seed is 3. Fix: give one of them."
    assert str(raised.value) == expected


def test_keys_of_other_verbs_are_left_alone() -> None:
    Path("run.yaml").write_text("budget: 5m\ntarget: stars\nmethod: lora\n", "utf-8")
    assert resolve((*COLUMNS, *SPLIT), {}, [], "run.yaml", {}) == {"target": "stars"}


def test_kinds_may_be_a_mapping_or_a_list() -> None:
    expected = {"kind": (("age", "number"), ("a=b", "text"))}
    assert resolved("kind: {age: number, a=b: text}\n") == expected
    assert resolved("kind: [age=number, a=b=text]\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1s", 1), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("30d", 2_592_000), ("1e2s", 100)]
)
def test_durations(text: str, expected: float) -> None:
    assert resolved(f"budget: {text}\n")["budget"] == expected


PIECES = [
    "a",
    "no",
    "~",
    ":",
    ": ",
    "\n",
    "\n  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    '"',
    "#",
    "&a",
    "*a",
    "!t",
    "|\n",
]
PIECES += [
    ">",
    "%YAML 1.2\n",
    "?",
    "\t",
    "\\",
    "\ufeff",
    "\x00",
    "\x85",
    "é",
    "😀",
    "<<",
    "a:\n  b: 3",
    "...\n",
    "---\n",
    "@",
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from([".yaml", ".json"]))
def test_any_text_is_read_or_refused_in_one_sentence(text: str, suffix: str) -> None:
    path = Path("fuzz" + suffix)
    path.write_text(text, "utf-8")
    refused: BadInput | None = None
    try:
        found: object = read_config(path)
    except BadInput as error:
        refused, found = error, {}
    assert isinstance(found, dict)
    assert refused is None or (refused.code.startswith("CFG_") and str(refused).isprintable())


PLAIN = st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
KEYS = st.text(min_size=1, max_size=10).filter(lambda k: k != "<<" and "\ufeff" not in k)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), min_size=1, max_size=5))
def test_json_means_what_python_says_it_means(value: dict[str, Any]) -> None:
    path = Path("fuzz.json")
    path.write_text(json.dumps(value), "utf-8")

    def spelled(v: Any) -> Any:
        if isinstance(v, list):
            return [spelled(x) for x in v]
        return v if isinstance(v, str) else json.dumps(v)

    assert plain(read_config(path)) == {k: spelled(v) for k, v in value.items()}
