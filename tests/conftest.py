"""What tests share: the command line in this process, the state of a folder, tiny models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str


Sartor = Callable[..., Ran]


@pytest.fixture
def sartor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`sartor(*words)` in an empty folder, in this process."""
    from sartor.cli import run

    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ran:
        capsys.readouterr()
        code = run([str(w) for w in words])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return call


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """`tree()` is every path below `tmp_path` with the sha256 of its content."""

    def look() -> dict[str, str]:
        return {str(p.relative_to(tmp_path)): _state(p) for p in sorted(tmp_path.rglob("*"))}

    return look


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random BERT: 2 layers, width 32, 40 positions."""
    import tiny_models

    return tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="session")
def tiny_sentence_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same BERT in a folder that says it is read by the mean of its tokens."""
    import tiny_models

    return tiny_models.bert(tmp_path_factory.mktemp("models") / "sentence-bert", says_mean=True)


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.roberta(tmp_path_factory.mktemp("models") / "roberta")


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.distilbert(tmp_path_factory.mktemp("models") / "distilbert")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle that was trained for a few steps from the tiny BERT."""
    from sartor.bundle import save_network
    from text_samples import labelled
    from tiny_runs import begun, recipe, steps

    rows = labelled(24)
    run, encoded = begun(recipe(tiny_encoder, rows, max_steps=4, learning_rate=1e-3), rows)
    list(steps(run, encoded))
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    return save_network(folder, run.net, run.recipe, rows.schema, {}, "# tiny\n")


def _state(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"


@pytest.fixture(scope="session")
def tiny_yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random YOLOS: 2 layers, width 32, 7 queries."""
    import tiny_models

    return tiny_models.yolos(tmp_path_factory.mktemp("models") / "yolos")


@pytest.fixture(scope="session")
def tiny_detr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random DETR with its own trunk: width 32, 6 queries."""
    import tiny_models

    return tiny_models.detr(tmp_path_factory.mktemp("models") / "detr")
