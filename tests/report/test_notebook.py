from __future__ import annotations

import re

import pytest
import report_samples as samples
from page_reader import read

from sartor.report.notebook import html_fragment


@pytest.mark.parametrize("name", list(samples.ALL))
def test_a_fragment_runs_nothing_and_styles_only_itself(name: str) -> None:
    tree = read(html_fragment(samples.ALL[name]()))
    assert [c.attributes["class"] for c in tree.children] == ["sartor fragment"]
    assert not tree.all("script")
    assert not tree.all("a")
    assert not [e for e in tree.every() if "id" in e.attributes]
    rules = re.sub(r"@media[^{]*\{", "", tree.all("style")[0].text)
    selectors = [s.strip() for block in re.findall(r"([^{}]+)\{[^{}]*\}", rules) for s in block.split(",")]
    assert selectors
    assert all(s.startswith(".sartor") for s in selectors)


def test_it_shows_the_verdict_the_frontier_and_every_candidate() -> None:
    result = samples.position()
    tree = read(html_fragment(result))
    assert len([e for e in tree.all("svg") if e.attributes.get("role") == "group"]) == 1
    assert tree.with_class("who")[0].text == result["pick"]["name"]
    assert len(tree.with_class("who")) == 14
    assert "Test accuracy 92.6% [91.0, 93.9]" in " ".join(tree.words().split())
