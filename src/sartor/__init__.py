"""Sartor fits large models to your work, and tells you by measurement which fit is right."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sartor.bundle import Bundle
    from sartor.data.hints import Hints
    from sartor.errors import SartorError
    from sartor.recipe import Plan, Recipe
    from sartor.verbs.check import check
    from sartor.verbs.compare import compare
    from sartor.verbs.compress import compress
    from sartor.verbs.evaluate import evaluate
    from sartor.verbs.finetune import finetune
    from sartor.verbs.position import position
    from sartor.verbs.predict import predict

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Hints",
    "Plan",
    "Recipe",
    "SartorError",
    "__version__",
    "check",
    "compare",
    "compress",
    "evaluate",
    "finetune",
    "position",
    "predict",
]

_HOMES = {
    "Bundle": "sartor.bundle",
    "Hints": "sartor.data.hints",
    "Plan": "sartor.recipe",
    "Recipe": "sartor.recipe",
    "SartorError": "sartor.errors",
    "check": "sartor.verbs.check",
    "compare": "sartor.verbs.compare",
    "compress": "sartor.verbs.compress",
    "evaluate": "sartor.verbs.evaluate",
    "finetune": "sartor.verbs.finetune",
    "predict": "sartor.verbs.predict",
}


class _Sartor(ModuleType):
    """Public names are imported when they are first used, so that `import sartor` costs nothing."""

    @property
    def position(self) -> Any:
        """The verb. Importing the package of the same name must not hide it: hence a property."""
        return importlib.import_module("sartor.verbs.position").position

    @position.setter
    def position(self, package: ModuleType) -> None:
        """What the import system does for `sartor.position`; the package stays in `sys.modules`."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'sartor' has no attribute '{name}'")
        return getattr(importlib.import_module(_HOMES[name]), name)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Sartor
