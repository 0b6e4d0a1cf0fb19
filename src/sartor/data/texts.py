"""The text inputs of rows, as every text body and text baseline reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows


def text_columns(rows: Rows) -> dict[str, list[str]]:
    """`text`, and `text_pair` where the schema names two text inputs; more than two are joined into one by a space."""
    names = rows.schema.reading("text")
    if not names:
        fix = "name the text column: --text NAME"
        raise BadInput("NO_TEXT", "none of the input columns holds text", fix=fix, where=rows.source)
    texts = rows.texts()
    if len(names) == 2:
        return {"text": [t[0] for t in texts], "text_pair": [t[1] for t in texts]}
    return {"text": [" ".join(t) for t in texts]}
