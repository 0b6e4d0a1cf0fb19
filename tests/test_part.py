"""The grammar of parts: names, settings, casts, round trips, and the sentences that answer mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor import part as parts
from sartor.errors import BadInput
from sartor.method import Method
from sartor.part import SHELVES, Part, build, cast, learned, names, part, part_class, part_from_json

METHODS, TASKS = ", ".join(names("methods")), ", ".join(names("tasks"))
EVERY = [(shelf, name) for shelf in SHELVES for name in names(shelf)]


@dataclass(frozen=True, kw_only=True)
class Sample(Part):
    shelf: ClassVar[str] = "methods"

    whole: int = 3
    number: float = 0.5
    truth: bool = False
    word: str = "plain"
    choice: Literal["a", "b", "none"] = "a"
    maybe: float | None = None
    several: tuple[str, ...] = ()
    rates: tuple[float, ...] = (0.1, 0.2)
    inner: Method | None = None
    found: tuple[str, ...] = learned(())


def sentence(call: object, *given: object) -> str:
    with pytest.raises(BadInput) as raised:
        call(*given)  # type: ignore[operator]
    return str(raised.value)


def reread(made: Sample) -> Sample:
    """The sample that its own spelling gives."""
    pieces = [piece.partition("=") for piece in made.spelled().partition(":")[2].split(",") if piece]
    return build(Sample, {key: text for key, _, text in pieces})


@pytest.mark.parametrize(("shelf", "name"), EVERY, ids="/".join)
def test_every_part_is_made_again_from_its_spelling_and_its_json(shelf: str, name: str) -> None:
    made = part(shelf, name)
    assert made.name == made.spelled() == name
    assert made.shelf == shelf
    assert part(shelf, made.spelled()) == made
    assert part_from_json(shelf, json.loads(json.dumps(made.to_json(), allow_nan=False))) == made
    assert made.with_settings() == made


def test_settings_are_cast_by_their_annotations() -> None:
    made = part("methods", "lora:r=4, lora_alpha=8,target_modules=query+value")
    assert made.settings() == {
        "r": 4,
        "lora_alpha": 8.0,
        "lora_dropout": 0.0,
        "target_modules": ["query", "value"],
        "last": None,
        "use_rslora": False,
        "use_dora": False,
    }
    assert made.spelled() == "lora:r=4,lora_alpha=8,target_modules=query+value"


@settings(max_examples=200, deadline=None)
@given(
    whole=st.integers(-(10**17), 10**17),
    number=st.floats(allow_nan=False, allow_infinity=False),
    truth=st.booleans(),
    choice=st.sampled_from(["a", "b", "none"]),
    maybe=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    several=st.lists(st.text("abcxyz_.09", min_size=1, max_size=5), max_size=3).map(tuple),
    rates=st.lists(st.floats(0, 1), max_size=3).map(tuple),
)
def test_settings_survive_the_text_and_the_json(**given_settings: object) -> None:
    made = Sample(**given_settings)  # type: ignore[arg-type]
    assert reread(made) == made
    kept = json.loads(json.dumps(made.settings()))
    assert build(Sample, kept) == made


def test_a_part_inside_a_part_survives() -> None:
    made = Sample(inner=part("methods", "lora:r=4"))  # type: ignore[arg-type]
    assert build(Sample, json.loads(json.dumps(made.settings()))) == made
    assert build(Sample, {"inner": "lora:r=4"}) == made


def test_learned_fields_are_kept_on_disk_but_not_spelled() -> None:
    made = Sample(found=("x", "y"))
    assert made.spelled().partition(":")[2] == ""
    assert build(Sample, made.settings()) == made


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "+7", 7),
        (int, "-7", -7),
        (float, "1e-4", 1e-4),
        (float, "-2", -2.0),
        (bool, "YES", True),
        (bool, "0", False),
        (bool, True, True),
        (float | None, "none", None),
        (float | None, "", None),
        (int | None, None, None),
        (tuple[int, ...], "1+2", (1, 2)),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[str, ...], "", ()),
        (tuple[float, ...], 3, (3.0,)),
    ],
)
def test_a_cast(kind: object, text: object, value: object) -> None:
    found = cast(kind, text, "x")
    assert found == value
    assert type(found) is type(value)


NUMBER = "Fix: write a number such as 0.1 or 1e-4."
WHOLE = "Fix: write it in digits, such as 16."


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (int, "4.5", f"error[VALUE]: x is '4.5', not a whole number. {WHOLE}"),
        (int, "", f"error[VALUE]: x is '', not a whole number. {WHOLE}"),
        (int, "+-5", f"error[VALUE]: x is '+-5', not a whole number. {WHOLE}"),
        (int, "٣", f"error[VALUE]: x is '٣', not a whole number. {WHOLE}"),
        (int, "1_000", f"error[VALUE]: x is '1_000', not a whole number. {WHOLE}"),
        (int, "9" * 5000, f"error[VALUE]: x is '{'9' * 5000}', not a whole number. {WHOLE}"),
        (float, "many", f"error[VALUE]: x is 'many', not a number. {NUMBER}"),
        (float, "nan", f"error[VALUE]: x is 'nan', not a finite number. {NUMBER}"),
        (float, "1e999", f"error[VALUE]: x is '1e999', not a finite number. {NUMBER}"),
        (float, "1_0", f"error[VALUE]: x is '1_0', not a finite number. {NUMBER}"),
        (float | None, "x", f"error[VALUE]: x is 'x', not a number. {NUMBER}"),
        (bool, "maybe", "error[VALUE]: x is 'maybe', not true or false. Fix: write true or false."),
        (
            Literal["mean", "native"],
            "maen",
            "error[VALUE]: x is 'maen'. Fix: did you mean 'mean'? Known: mean, native.",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(kind: object, text: str, said: str) -> None:
    assert sentence(cast, kind, text, "x") == said


@pytest.mark.parametrize(
    ("shelf", "spelled", "said"),
    [
        (
            "methods",
            "lroa",
            f"error[PART_UNKNOWN]: no method is called 'lroa'. Fix: did you mean 'lora'? Known: {METHODS}.",
        ),
        (
            "methods",
            "lora:rank=4",
            "error[PART_SETTING]: lora has no setting 'rank'. "
            "Fix: known: last, lora_alpha, lora_dropout, r, target_modules, use_dora, use_rslora.",
        ),
        (
            "methods",
            "lora:lora_alhpa=4",
            "error[PART_SETTING]: lora has no setting 'lora_alhpa'. "
            "Fix: did you mean 'lora_alpha'? Known: last, lora_alpha, lora_dropout, r, target_modules, use_dora, "
            "use_rslora.",
        ),
        (
            "methods",
            "full:r=4",
            "error[PART_SETTING]: full has no setting 'r'. Fix: known: last, layer_decay, unfreeze_ratio.",
        ),
        (
            "methods",
            "lora:r",
            "error[PART_SETTING]: 'r' in 'lora:r' has no value. Fix: write name:key=value,key=value.",
        ),
        ("methods", "lora:r=1,r=2", "error[PART_SETTING]: 'r' stands twice in 'lora:r=1,r=2'. Fix: keep one."),
        ("methods", "lora:r=x", f"error[VALUE]: lora.r is 'x', not a whole number. {WHOLE}"),
        ("methods", "lora:r=0", "error[VALUE_RANGE]: lora.r is 0. Fix: give at least 1."),
        (
            "methods",
            "no_such_lab.prefix",
            "error[PART_UNKNOWN]: no Python module is called 'no_such_lab.prefix'. Fix: put its folder on PYTHONPATH.",
        ),
        (
            "methods",
            "json.nothing",
            "error[PART_UNKNOWN]: no Python module is called 'json.nothing'. Fix: put its folder on PYTHONPATH.",
        ),
        (
            "methods",
            ".",
            "error[PART_UNKNOWN]: no Python module is called '.'. Fix: put its folder on PYTHONPATH.",
        ),
        (
            "methods",
            "json.decoder",
            "error[PART_SHAPE]: 'json.decoder' defines 0 parts. Fix: define exactly one in a file.",
        ),
        (
            "methods",
            "sartor.tasks.regression",
            f"error[PART_SHELF]: 'sartor.tasks.regression' is not one of the methods. Fix: use one of: {METHODS}.",
        ),
        (
            "tasks",
            "clasification",
            "error[PART_UNKNOWN]: no task is called 'clasification'. "
            f"Fix: did you mean 'classification'? Known: {TASKS}.",
        ),
        (
            "backbones",
            "encoder:pooling=max",
            "error[VALUE]: encoder.pooling is 'max'. Fix: known: auto, mean, native.",
        ),
    ],
)
def test_a_wrong_spelling_is_one_sentence(shelf: str, spelled: str, said: str) -> None:
    assert sentence(part, shelf, spelled) == said


def test_a_users_own_file_is_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_lab").mkdir()
    (tmp_path / "my_own_lab" / "head_only.py").write_text(
        "from dataclasses import dataclass\n"
        "from sartor.method import Method\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class HeadOnly(Method):\n"
        "    depth: int = 2\n"
        "    def apply(self, net, steps): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = part("methods", "my_own_lab.head_only:depth=5")
    assert made.settings() == {"depth": 5}
    assert made.spelled() == "my_own_lab.head_only:depth=5"
    assert part("methods", made.spelled()) == made
    assert part_from_json("methods", made.to_json()) == made
    assert part_class("methods", "my_own_lab.head_only") is type(made)


def test_importing_every_part_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys\n"
        "from sartor.part import SHELVES, names, part\n"
        "for shelf in SHELVES:\n"
        "    for name in names(shelf): part(shelf, name)\n"
        "heavy = {'torch', 'transformers', 'peft', 'sklearn', 'scipy', 'pyarrow', 'pandas', 'accelerate'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_this_module_is_asked_for_names() -> None:
    assert set(SHELVES) == {f"{m}s" for m in ("task", "backbone", "method", "objective", "compressor", "baseline")}
    assert parts.names("methods") == sorted(parts.names("methods"))
