"""The verbs as data: what each takes, and the worked examples that end its help."""

from __future__ import annotations

from dataclasses import dataclass

from sartor.settings import COLUMNS, SPLIT

LIMITS = ("max_latency_ms", "max_size_mb", "max_memory_mb")
_WRITES = ("dry_run", "resume", "overwrite")


@dataclass(frozen=True)
class Verb:
    """One verb. `arguments` may be left out where they stand in [brackets] or in the configuration (`data`); of those
    in `several` more than one may be given."""

    name: str
    summary: str
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    switches: tuple[str, ...]
    examples: tuple[str, ...]
    several: tuple[str, ...] = ()

    @property
    def configurable(self) -> bool:
        return bool(self.settings)


_VERBS = (
    Verb(
        "check",
        "Read the data as a run would, and report every problem at once.",
        ("data",),
        (*COLUMNS, *SPLIT, "task"),
        (),
        (
            "sartor check reviews.csv",
            "sartor check reviews.csv --target stars --kind age=number --ignore id",
            "sartor check train.jsonl.gz --validation dev.jsonl.gz --test test.jsonl.gz --json",
        ),
    ),
    Verb(
        "init",
        "Draft a configuration from the data, with the reason for every guess.",
        ("data",),
        (*COLUMNS, "out"),
        ("dry_run",),
        (
            "sartor init reviews.csv",
            "sartor init reviews.csv --target stars --out run.yaml",
            "sartor position --config run.yaml",
        ),
    ),
    Verb(
        "position",
        "Race backbones and methods against simple baselines; state what fits, with evidence.",
        ("data",),
        (*COLUMNS, *SPLIT, "task", "budget", "out", "candidates", "with", "metric", *LIMITS, "plan"),
        _WRITES,
        (
            "sartor position reviews.csv --target stars --budget 10m --out runs/reviews",
            "sartor position example:docstrings --budget 5m",
            "sartor position reviews.csv --max-latency-ms 20 --max-size-mb 100 --metric macro_f1",
            "sartor position reviews.csv --candidates minilm+probe --candidates minilm+lora:r=8@5e-4",
            "sartor position reviews.csv --with quantize --with drop_layers:keep=3",
            "sartor position reviews.csv --out runs/reviews --resume",
        ),
    ),
    Verb(
        "finetune",
        "Train one recipe and write it as a bundle; several data sets share one body.",
        ("data",),
        (*COLUMNS, *SPLIT, "task", "backbone", "method", "objective", "save", "out", "plan", "tasks"),
        _WRITES,
        (
            "sartor finetune reviews.csv --target stars --method lora:r=16 --out runs/lora",
            "sartor finetune reviews.csv --method lora:r=8 --save changed",
            "sartor finetune reviews.csv --set plan.learning_rate=1e-4 --set plan.num_train_epochs=5",
            "sartor finetune reviews.csv mails.jsonl --objective uncertainty --out runs/both",
            "sartor finetune a=rows.csv b=rows.csv --set tasks.a.target=stars --set tasks.b.target=topic",
            "sartor finetune --config run.yaml --seed 3 --dry-run",
        ),
        ("data",),
    ),
    Verb(
        "evaluate",
        "Measure a bundle on labelled data.",
        ("bundle", "data"),
        (*COLUMNS, "task_name"),
        (),
        ("sartor evaluate runs/reviews/bundle test.csv", "sartor evaluate runs/reviews/bundle test.csv --json"),
    ),
    Verb(
        "compare",
        "Test two bundles against each other on the same rows, with an interval.",
        ("a", "b", "data"),
        (*COLUMNS, "metric", "task_name"),
        (),
        (
            "sartor compare runs/lora/bundle runs/full/bundle test.csv",
            "sartor compare runs/lora/bundle runs/full/bundle test.csv --metric macro_f1 --json",
        ),
    ),
    Verb(
        "compress",
        "Make a bundle smaller, and measure both forms on the same held-out rows.",
        ("bundle", "data"),
        (*COLUMNS, "test", "seed", "with", "out"),
        ("dry_run", "overwrite"),
        (
            "sartor compress runs/reviews/bundle reviews.csv --with quantize --out runs/small",
            "sartor compress runs/reviews/bundle reviews.csv --with drop_layers:keep=3 --with quantize",
            "sartor compress runs/reviews/bundle reviews.csv --with prune:amount=0.5,by=sparsegpt --test test.csv",
        ),
    ),
    Verb(
        "predict",
        "Answer every row of a file; one JSON line each, or a file with --out.",
        ("bundle", "data"),
        (*COLUMNS, "task_name", "out"),
        ("dry_run", "overwrite"),
        (
            "sartor predict runs/reviews/bundle new.csv",
            "sartor predict runs/reviews/bundle new.csv --out answers.csv",
        ),
    ),
    Verb(
        "show",
        "Explain a shelf, a part or a bundle.",
        ("what",),
        (),
        (),
        ("sartor show methods", "sartor show lora", "sartor show runs/reviews/bundle"),
    ),
    Verb(
        "doctor",
        "Look the machine and the installation over, and train something small.",
        (),
        (),
        (),
        ("sartor doctor", "sartor doctor --json"),
    ),
)
VERBS = {verb.name: verb for verb in _VERBS}
