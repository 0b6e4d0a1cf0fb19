"""The sweep over methods: its cells come back as they were written, its page says what the results say."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CLAIMS = {
    "keeps": {"methods": ["lora", "adalora"], "share": 0.97, "weights": 0.05},
    "beats": [["bitfit", "probe"]],
    "default": 1.0,
    "budget": [["adalora", "lora"]],
}
ASKED: dict[str, Any] = {
    "data": ["a", "b"],
    "sizes": [[64], ["full"]],
    "full": 3000,
    "held": 400,
    "validation": 10,
    "seeds": 2,
    "seeds_of_others": 1,
    "lengths": {"full": [100], "no_such_method": [100]},
    "choices": ["loss", "calibrated"],
    "choice": "loss",
    "methods": {"probe": [], "full": [1.23e-5], "lora": [1.23e-3], "bitfit": [1.23e-4], "no_such_method": [1.0]},
    "claims": CLAIMS,
}


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import method_cells
    import method_claims
    import method_numbers
    import methods_page
    import run

    return SimpleNamespace(cells=method_cells, numbers=method_numbers, claims=method_claims, page=methods_page, run=run)


def right(share: float) -> Any:
    """(400,) the first of the rows right, in the order of a fixed shuffle: better methods are right where worse are."""
    return np.random.default_rng(0).permutation(400) < round(400 * share)


def sweep_of(modules: Any, shares: dict[tuple[Any, ...], float], asked: dict[str, Any] = ASKED) -> Any:
    """A sweep of size 64 in which every cell of a method and rate has the same share of right answers."""
    found = {}
    for way, share in shares.items():
        for data in asked["data"]:
            for seed in range(asked["seeds"]):
                answers = {"60": {"right": modules.cells.packed(right(share))}}
                answers["300"] = {"right": modules.cells.packed(right(share + 0.02))}
                cell = modules.cells.Cell(data, 64, seed, *way)
                found[cell] = {"chosen": {"loss": 60, "calibrated": 300}, "answers": answers, "planned_steps": 300}
                found[cell] |= {"trained": 3 if way[0] == "lora" else 100, "weights": 100}
    chosen = {choice: modules.numbers._right(found, choice, 400) for choice in asked["choices"]}
    rate = {"probe": None, "full": 5e-5, "lora": 5e-4, "bitfit": 1e-3}
    return modules.numbers.Sweep(asked, found, chosen, rate, {})


@pytest.mark.skipif(not (BENCHMARKS / "results" / "methods.json").exists(), reason="the sweep has no results yet")
def test_the_page_says_what_the_results_say(modules: Any) -> None:
    text = modules.page.PAGE.read_text("utf-8")
    assert modules.page.filled(text, modules.numbers.read()) == text, "run `python benchmarks/run.py --page methods`"


def test_answers_come_back_as_they_were_packed(modules: Any) -> None:
    answers = right(0.3)
    assert (modules.cells.unpacked(modules.cells.packed(answers), 400) == answers).all()


def test_defaults_are_trained_first_and_the_others_with_fewer_seeds(modules: Any, capsys: Any) -> None:
    cells = modules.cells.planned(ASKED)
    small = [(c.seed, c.method, c.rate, c.steps) for c in cells if c.size == 64 and c.data == "a"]
    defaults = [(name, modules.cells.default(method), None) for name, method in modules.cells.known(ASKED).items()]
    others = [(*defaults[1][:2], 100), ("full", 1.23e-5, None), ("lora", 1.23e-3, None), ("bitfit", 1.23e-4, None)]
    assert small == [(0, *way) for way in defaults] + [(0, *way) for way in others] + [(1, *way) for way in defaults]
    assert [c.size for c in cells] == sorted((c.size for c in cells), key=lambda size: size == "full")
    assert "skipped no_such_method" in capsys.readouterr().err


def test_a_sweep_goes_on_from_its_notes(modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules.cells, "NOTES", tmp_path / "runs" / "notes.jsonl")
    monkeypatch.setattr(modules.cells, "RESULT", tmp_path / "result.json")
    first, *_, last = modules.cells.planned(ASKED)
    modules.cells.note(last, {"rows": 7}, ASKED)
    assert modules.cells.finished(ASKED) == {last: {"rows": 7}}
    collected = modules.cells.collected(ASKED, {**modules.cells.finished(ASKED), first: {"rows": 8}})
    assert [cell["rows"] for cell in collected["cells"]] == [8, 7]
    with pytest.raises(ValueError, match="called as a cell's word is: steps"):
        modules.cells.note(first, {"steps": 300}, ASKED)
    text = modules.run.written({"experiment": ASKED, "result": collected})
    assert json.loads(text)["result"]["cells"][0] == {**asdict(first), "rows": 8}
    modules.cells.RESULT.write_text(text, "utf-8")
    assert set(modules.cells.finished(ASKED)) == {first, last}
    with pytest.raises(SystemExit, match="made with another full, held, validation"):
        modules.cells.finished({**ASKED, "held": 500})


def test_claims_are_said_whichever_way_they_fall(modules: Any) -> None:
    shares = {
        ("probe", None): 0.5,
        ("full", 5e-5): 0.8,
        ("full", 2e-5): 0.84,
        ("full", 5e-5, 100): 0.79,
        ("lora", 5e-4): 0.79,
        ("bitfit", 1e-3): 0.4,
    }
    said = list(modules.claims.sentences(sweep_of(modules, shares)))
    assert said[0].startswith("`lora`, 64 rows, 3 % of the weights: +29.0 points over the probe, full +30.0: 96.7 % [9")
    assert said[0].endswith("of it kept; at least 97 % missed, within the noise.")
    assert said[1] == "`adalora` keeps 97 % of full's gain: not measured yet."
    assert said[2].startswith("`bitfit` beats `probe`, 64 rows: -10.0 [-") and said[2].endswith("refuted.")
    assert said[3].startswith("`full`, 64 rows: 2e-05 beats the default 5e-05 by +4.0 [+")
    assert said[3].endswith("more than 1, shown.")
    assert said[4] == "Other rates compared with their method's default, each at each size: 1."
    assert said[5] == "`adalora` with as many weights in the end is as good as `lora`: not measured yet."
    assert said[6].startswith("`full`, 64 rows, 100 steps instead of its own: -1.0 [-")
    assert "+2.0 points on average" in said[7]


def test_where_full_gains_nothing_there_is_no_share_to_keep(modules: Any) -> None:
    said = list(
        modules.claims.sentences(sweep_of(modules, {("probe", None): 0.5, ("full", 5e-5): 0.5, ("lora", 5e-4): 0.5}))
    )
    assert "full's gain is not shown here, so there is no share of it to keep." in said[0]


def test_a_row_of_each_table(modules: Any) -> None:
    sweep = sweep_of(modules, {("probe", None): 0.5, ("full", 5e-5): 0.8, ("lora", 5e-4): 0.79, ("lora", 1e-3): 0.78})
    worth, rates = modules.page.worth(sweep).splitlines(), modules.page.by_rate(sweep).splitlines()
    assert worth[0] == "| method | weights trained | step | memory | 64 rows | 3,000 rows |"
    assert worth[3] == "| `full` | all |  |  | 80.0 |  |"
    assert worth[4].startswith("| `lora` | 3 % |  |  | 79.0 (-1.0 [-")
    assert rates[3] == "| `lora` | **0.0005** | 79.0 |  | 60; 0 % last |"
    assert rates[4].startswith("| `lora` | 0.001 | 78.0 (-1.0 [-")


def test_one_seed_has_no_interval(modules: Any) -> None:
    once = {**ASKED, "seeds": 1}
    sweep = sweep_of(modules, {("probe", None): 0.5, ("full", 5e-5): 0.8, ("lora", 5e-4): 0.79}, once)
    assert modules.page.worth(sweep).splitlines()[4] == "| `lora` | 3 % |  |  | 79.0 (-1.0) |  |"
    assert modules.page.worth(sweep_of(modules, {("lora", 5e-4): 0.79}, once)).count("lora") == 0
