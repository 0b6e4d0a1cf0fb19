"""Dynamic time warping (Sakoe and Chiba 1978): how far two sequences are apart when time may stretch.

    D[i, j] = |a_i - b_j| + min(D[i-1, j], D[i, j-1], D[i-1, j-1] + |a_i - b_j|)        D[I, J] / (I + J)

the symmetric form, in which a step along both counts twice.

Legend: M templates, T places of the longest, Q places of the query, V values of a place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]


def distances(query: Reals, templates: Reals, lengths: Sequence[int] | NDArray[np.int64]) -> Reals:
    """(Q, V) against (M, T, V), of which `lengths` (M,) places count, -> (M,). All templates at once, diagonal by
    diagonal; of those only the last three are kept, place i of the query at i + 1."""
    ends = np.asarray(lengths)
    near = _apart(query, templates)  # (Q, T, M)
    q, t, m = near.shape
    before, last, now = (np.full((q + 1, m), np.inf, dtype=np.float32) for _ in range(3))
    found = np.full(m, np.inf, dtype=np.float32)
    for k in range(q + t - 1):
        low, high = max(0, k - t + 1), min(q, k + 1)
        i = np.arange(low, high)
        step = near[i, k - i]
        reached = np.minimum(last[low:high], last[low + 1 : high + 1])
        reached += step
        np.minimum(reached, before[low:high] + 2 * step, out=reached)
        now[low + 1 : high + 1] = reached if k else 2 * step
        now[low] = np.inf
        now[high + 1 : high + 2] = np.inf
        done = ends - 1 == k - (q - 1)
        found[done] = now[q, done]
        before, last, now = last, now, before
    return np.asarray(found / (q + ends), dtype=np.float32)


def _apart(query: Reals, templates: Reals) -> Reals:
    """(Q, T, M) Euclidean distances of places."""
    m, t, v = templates.shape
    places = templates.transpose(1, 0, 2).reshape(t * m, v)
    found = query @ places.T
    found *= -2
    found += np.square(query).sum(1)[:, None]
    found += np.square(places).sum(1)
    np.maximum(found, 0, out=found)
    return np.asarray(np.sqrt(found, out=found).reshape(len(query), t, m), dtype=np.float32)
