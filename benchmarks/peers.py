"""The peer's side of the engine benchmark: transformers' own `Trainer` and `pipeline`, PEFT's own LoRA.

Two of them. `DEFAULT` is what a tutorial gives: fp32, random order, padded to the longest row of the batch. `TUNED` is
what an expert makes of it on a CPU: bf16 autocast, rows of like length together, the best batch size.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from ruler import Pace, timed
from sets import Material
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    pipeline,
    set_seed,
)

from sartor.backbones.minilm import packaged_folder
from sartor.method import Method
from sartor.pretrained.text import quiet

MAX_LENGTH = 256
RATE = 5e-5


@dataclass(frozen=True)
class Peer:
    """How the Trainer is set; whatever is not said here is its default."""

    name: str
    batch: int = 32
    bf16: bool = False
    sampling: str = "random"


DEFAULT = Peer("HF Trainer, defaults")
TUNED = Peer("HF Trainer, tuned", bf16=True, sampling="group_by_length")


class Clock(TrainerCallback):
    """The wall clock at the start and after every step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())


class Counting:
    """The ordinary collator, which also remembers the real tokens of every batch it made, in order."""

    def __init__(self, tokenizer: Any) -> None:
        self.collate = DataCollatorWithPadding(tokenizer)
        self.tokens: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.collate(rows)
        self.tokens.append(int(batch["attention_mask"].sum()))
        return batch


def train(material: Material, method: Method, peer: Peer, *, warm: int, epochs: float = 1.0, seed: int = 0) -> Pace:
    """The pace of the steps after the first `warm`, data loading included. `warm` 0 counts from before the first."""
    with tempfile.TemporaryDirectory() as made:
        trainer, clock, counting = trainer_of(material, method, peer, epochs, seed, Path(made))
        with quiet():
            trainer.train()
    return timed(clock.marks, counting.tokens, warm)


def trainer_of(
    material: Material, method: Method, peer: Peer, epochs: float, seed: int, folder: Path
) -> tuple[Trainer, Clock, Counting]:
    """A Trainer that neither logs, evaluates nor saves: training steps are all it does."""
    set_seed(seed)
    clock = Clock()
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
        counting = Counting(tokenizer)
        trainer = Trainer(
            model=classifier(len(material.task.describe()["id2label"]), method),
            args=arguments(peer, epochs, seed, folder),
            train_dataset=dataset(material, tokenizer),
            data_collator=counting,
            processing_class=tokenizer,
            callbacks=[clock],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer, clock, counting


def arguments(peer: Peer, epochs: float, seed: int, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=peer.batch,
        learning_rate=RATE,
        bf16=peer.bf16,
        train_sampling_strategy=peer.sampling,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,  # the rows are plain dicts with nothing to remove
    )


def dataset(material: Material, tokenizer: Any) -> list[dict[str, Any]]:
    """The same rows, cut at the same length by the same tokenizer."""
    found = tokenizer(material.texts, truncation=True, max_length=MAX_LENGTH)
    columns = {**found, "labels": material.labels}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(material))]


def classifier(labels: int, method: Method) -> nn.Module:
    """The packaged MiniLM as transformers' own classifier, with the same weights moving as under Sartor's method."""
    model = AutoModelForSequenceClassification.from_pretrained(packaged_folder(), num_labels=labels)
    if method.name == "probe":
        model.base_model.requires_grad_(False)
    if method.name != "lora":
        return model
    settings = method.settings()
    config = LoraConfig(
        r=settings["r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=settings["lora_dropout"],
        target_modules=linears(model, settings.get("last")),
        modules_to_save=["classifier"],
    )
    return get_peft_model(model, config)


def linears(model: Any, last: int | None) -> list[str]:
    """Every linear layer of the encoder's blocks, or of the last ones only."""
    blocks = model.config.num_hidden_layers
    first = blocks - (last or blocks)
    inside = tuple(f"bert.encoder.layer.{i}." for i in range(first, blocks))
    return [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and name.startswith(inside)]


def best_batch(material: Material, method: Method, sizes: Sequence[int], warm: int) -> tuple[Peer, dict[int, float]]:
    """The tuned peer at the batch with most real tokens per second in a trial on these rows; what each size gave."""
    found = {size: train(material, method, replace(TUNED, batch=size), warm=warm).rate for size in sizes}
    return replace(TUNED, batch=max(found, key=found.__getitem__)), found


@contextmanager
def classifying(folder: Path) -> Iterator[Any]:
    """`pipeline("text-classification")` on a model folder, in 32 bits."""
    with quiet():
        yield pipeline("text-classification", model=str(folder), tokenizer=str(folder), dtype=torch.float32)


def answer(pipe: Any, texts: list[str], batch: int) -> Any:
    return pipe(texts, batch_size=batch, truncation=True, max_length=MAX_LENGTH)


def save_plain(labels: int, method: Method, folder: Path) -> None:
    """transformers' own six-block classifier on disk: a bundle has one block more (see docs/log.md, mean pooling)."""
    with quiet():
        classifier(labels, method).save_pretrained(folder)
        AutoTokenizer.from_pretrained(packaged_folder()).save_pretrained(folder)
