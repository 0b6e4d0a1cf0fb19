"""The requests that every subject is asked: the user's own rows, in an order whose every stretch is representative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sartor.data.rows import Rows

SIZE = 512
SEED = 20_240_229


@dataclass(frozen=True)
class Requests:
    """The sampled rows as single requests, asked in a circle, and as batches. They carry no targets, as in serving."""

    rows: Rows
    singles: tuple[Rows, ...]

    def one(self, number: int) -> Rows:
        return self.singles[number % len(self.singles)]

    def batch(self, size: int, number: int) -> Rows:
        """Batch `number` of `size` rows: it begins where the one before ended, in a circle."""
        return self.rows.take(np.arange(number * size, (number + 1) * size) % len(self.rows))

    def longest(self, most: int) -> Rows:
        """At most `most` of the longest rows, the longest first."""
        return self.rows.take(np.argsort(-_lengths(self.rows), kind="stable")[:most])


def requests(rows: Rows) -> Requests:
    """At most `SIZE` of `rows`, drawn by a fixed seed, with the lengths spread evenly over every stretch of them."""
    drawn = np.random.default_rng(SEED).permutation(len(rows))[:SIZE]
    asked = rows.take(drawn).untargeted()
    asked = asked.take(np.argsort(_lengths(asked), kind="stable")[even_order(len(asked))])
    return Requests(asked, tuple(asked.take([i]) for i in range(len(asked))))


def even_order(n: int) -> NDArray[np.int64]:
    """0..n-1 from the middle on by reversed bits: any stretch is spread over the whole (van der Corput 1935)."""
    bits = max(1, (n - 1).bit_length())
    reversed_bits = np.array([int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)], dtype=np.int64)
    order: NDArray[np.int64] = (reversed_bits[reversed_bits < n] + n // 2) % n
    return order


def _lengths(rows: Rows) -> NDArray[np.int64]:
    """(N,) characters in each row's values: what decides a row's cost where anything does."""
    return np.array([sum(len(str(value)) for value in row.values()) for row in rows], dtype=np.int64)
