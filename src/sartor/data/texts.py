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
    columns = [["" if v is None else str(v) for v in rows.columns[name]] for name in names]
    if len(names) == 2:
        return {"text": columns[0], "text_pair": columns[1]}
    return {"text": [" ".join(texts) for texts in zip(*columns, strict=True)]}
