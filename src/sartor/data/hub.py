"""`hf:owner/name` -> a table, through the `datasets` library, from its cache or the network."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from sartor.data.frames import from_dataset
from sartor.data.table import Table
from sartor.errors import BadInput, missing_extra

PATIENCE = 3.0
"""Seconds to wait for the Hub to answer at all; the library itself would retry for half a minute."""


def read(source: str) -> Table:
    """The train split of a dataset on the Hub. Raises `BadInput` that says what to give without a network."""
    name = source.removeprefix("hf:")
    if name.count("/") > 1 or not name.strip("/") or any(c.isspace() for c in name):
        raise BadInput("DATA_HUB_NAME", f"'{source}' is no dataset's name", fix="write hf:owner/name")
    try:
        import datasets
    except ImportError:
        raise missing_extra("datasets", "datasets", f"reading '{source}'") from None
    try:
        with _cache_alone_where_unreachable():
            dataset = datasets.load_dataset(name)
    except Exception as error:  # some twenty kinds, for a name, a cache or a network that is not there
        message = f"the dataset could not be loaded ({type(error).__name__})"
        fix = "export it to Parquet or JSONL where there is a network (Dataset.to_parquet) and give that file's path"
        raise BadInput("DATA_HUB", message, fix=fix, where=source) from error
    return from_dataset(dataset, source)


@contextmanager
def _cache_alone_where_unreachable() -> Iterator[None]:
    """Inside, the libraries look only into their caches if the Hub cannot be reached."""
    import datasets.config
    from huggingface_hub import constants

    if reachable(constants.ENDPOINT):
        yield
        return
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def reachable(address: str) -> bool:
    """Whether something answers at the address; behind a proxy only the proxy could tell, so it counts as reachable."""
    if urllib.request.getproxies():
        return True
    parts = urllib.parse.urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PATIENCE):
            return True
    except OSError:
        return False
