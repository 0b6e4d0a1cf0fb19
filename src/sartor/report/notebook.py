"""The result inside a notebook: the verdict, the frontier and the table of candidates, with styles that stay inside."""

from __future__ import annotations

from sartor.report import sections, table
from sartor.report.entries import Result, entries, families, headline
from sartor.report.figures.frame import WIDE
from sartor.report.verdict_html import frontier_views, resource, templates


def html_fragment(result: Result) -> str:
    """For `_repr_html_`: no script, nothing loaded, every rule of its styles inside its own element."""
    found = entries(result)
    views = frontier_views(result, found, widths=(WIDE,))[:1]
    page = templates().get_template("fragment.html")
    return page.render(
        styles=resource("figure.css"),
        verdict=sections.verdict(result, found),
        pictures=[picture for view in views for picture in view["pictures"]],
        found=found,
        families=families(found),
        columns=table.columns(found, headline(result)),
        rows=table.rows(found, headline(result)),
    )


def block(text: str) -> str:
    """Plain text as a notebook shows it; nothing in it is markup."""
    from markupsafe import escape

    return f"<pre>{escape(text)}</pre>"
