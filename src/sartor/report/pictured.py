"""Images with boxes as plain values for the template: the picture once, the boxes that are there and those that were
said over it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.report.plain import shown
from sartor.report.quantities import finite

URI = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+")
HUES = 5
MOST = 60
"""Boxes that are drawn over one image."""


def pictured(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of a row that was found wrong: its picture, its size, and two sets of boxes; None where it holds no picture."""
    given = row.get("picture")
    about = given if isinstance(given, Mapping) else {}
    uri, width, height = str(about.get("uri") or ""), finite(about.get("width")), finite(about.get("height"))
    if not URI.fullmatch(uri) or not width or not height:
        return None
    there, said = (list(row.get(key) or [])[:MOST] for key in ("label", "prediction"))
    names = sorted({str(box[0]) for box in (*there, *said)})
    sets = [_set(there, names, scored=False), _set(said, names, scored=True)]
    name = f"picture-{int(finite(row.get('row')) or 0)}"
    return {"uri": uri, "name": name, "width": round(width), "height": round(height), "sets": sets}


def _set(boxes: Sequence[Sequence[Any]], names: Sequence[str], scored: bool) -> dict[str, Any]:
    made = [_box(box, names.index(str(box[0])) % HUES, scored) for box in boxes]
    return {"boxes": made, "said": f"{len(made)} boxes {'found' if scored else 'there'}"}


def _box(box: Sequence[Any], hue: int, scored: bool) -> dict[str, Any]:
    left, top, right, bottom = (round(finite(v) or 0.0, 1) for v in box[-4:])
    label = shown(box[0], 30) + (f" {finite(box[1]) or 0.0:.2f}" if scored else "")
    size = {"width": round(right - left, 1), "height": round(bottom - top, 1)}
    return {"label": label, "hue": hue, "x": left, "y": top, **size}
