"""Sartor fits large models to your work, and tells you by measurement which fit is right."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "position": "sartor.verbs.position",
    "finetune": "sartor.verbs.finetune",
    "evaluate": "sartor.verbs.evaluate",
    "compare": "sartor.verbs.compare",
    "predict": "sartor.verbs.predict",
    "check": "sartor.verbs.check",
    "Bundle": "sartor.bundle",
    "Hints": "sartor.data.hints",
    "Recipe": "sartor.recipe",
    "Plan": "sartor.recipe",
    "SartorError": "sartor.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that `import sartor` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sartor' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
