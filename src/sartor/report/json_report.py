"""The result for machines: one JSON shape for success, one for failure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sartor.errors import SartorError


def envelope(verb: str, result: Any) -> dict[str, Any]:
    """`{"ok": true, "schema": "sartor.VERB/1", "result": ...}`; numbers that JSON does not know become null."""
    return {"ok": True, "schema": f"sartor.{verb}/1", "result": finite_only(result)}


def failure(error: SartorError) -> dict[str, Any]:
    """`{"ok": false, "error": {"code", "message", "fix", "where"}}`."""
    return {"ok": False, "error": error.to_json()}


def dumps(obj: Any) -> str:
    """One line of ASCII JSON, so that no text in it can steer a terminal; NaN and infinities become null."""
    return json.dumps(finite_only(obj), ensure_ascii=True, allow_nan=False)


def finite_only(value: Any) -> Any:
    """`value` as plain JSON values: NaN and infinities None, numpy scalars and arrays Python's, tuples lists."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite_only(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [finite_only(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return finite_only(value.tolist())
    return str(value)
