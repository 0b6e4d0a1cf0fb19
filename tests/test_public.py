"""The public names: all there, lazily, and none hidden by the package that has the same name."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sartor


@pytest.mark.parametrize("name", sartor.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sartor, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'postion'"):
        sartor.postion  # noqa: B018


def test_importing_the_package_does_not_hide_the_verb() -> None:
    words = "import sartor, sartor.position.course; from sartor.position import race; assert callable(sartor.position)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


def test_dir_lists_the_public_names() -> None:
    assert dir(sartor) == sartor.__all__
