"""Linear chains: the best path through each row's tokens, and how probable every state is (Rabiner 1989).

    score of a path y of a row = sum_t emission[t, y_t] + transition[y_{t-1}, y_t]

Rows lie one after the other. They are walked together, token by token, the longest first, so that nothing is padded.

Legend: N rows, U tokens of all rows, C states, T tokens of the longest row; transitions (C + 1, C), the first from
before a row's beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sartor.data.tags import OUTSIDE, part_of
from sartor.predictions import Floats, Integers

FORBIDDEN = -1e4
"""The score of a step that no row takes."""
DEEPEST = -500.0
"""How far below the best state of a token others are told apart: e^-500 is still a number."""


def legal(tags: Sequence[str]) -> Floats:
    """(C + 1, C) 0 for a step that IOB2 allows, else `FORBIDDEN`: I-X stands only behind B-X or I-X."""
    steps = np.zeros((len(tags) + 1, len(tags)))
    for j, (letter, kind) in enumerate(map(part_of, tags)):
        if letter == "I":
            steps[:, j] = FORBIDDEN
            steps[[1 + i for i, tag in enumerate(tags) if tag != OUTSIDE and part_of(tag)[1] == kind], j] = 0.0
    return steps


def viterbi(emissions: Floats, transitions: Floats, lengths: Integers) -> Integers:
    """(U,) the states of each row's best path (Viterbi 1967)."""
    came = np.zeros(emissions.shape, dtype=np.int64)
    best = emissions.astype(np.float64)
    steps = list(_steps(lengths))
    for t, here in enumerate(steps):
        if t == 0:
            best[here] += transitions[0]
            continue
        scores = best[steps[t - 1][: len(here)], :, None] + transitions[1:]  # (n, from, to)
        came[here] = scores.argmax(1)
        best[here] += scores.max(1)
    path = np.zeros(len(emissions), dtype=np.int64)
    for t in range(len(steps) - 1, -1, -1):
        here, going_on = steps[t], len(steps[t + 1]) if t + 1 < len(steps) else 0
        path[here] = best[here].argmax(1)
        if going_on:
            after = steps[t + 1]
            path[here[:going_on]] = came[after, path[after]]
    return path


@dataclass(frozen=True)
class Expected:
    """What a chain expects: (N,) the log of the summed exp of all paths' scores, (U, C) how probable each state is,
    (C + 1, C) how often each step is taken in all rows."""

    log_sums: Floats
    states: Floats
    steps: Floats


def expected(emissions: Floats, transitions: Floats, lengths: Integers) -> Expected:
    """By the forward-backward algorithm, every token's numbers scaled to sum to one."""
    highest = emissions.max(1, keepdims=True) if len(emissions) else emissions
    weights = np.exp(np.maximum(emissions - highest, DEEPEST)).astype(np.float64)
    lift = float(transitions.max()) if transitions.size else 0.0
    moves = np.exp(np.maximum(transitions - lift, DEEPEST))
    moves[transitions <= FORBIDDEN / 2] = 0.0
    steps = list(_steps(lengths))
    ahead, scale = _forward(weights, moves, steps)
    behind = _backward(weights, moves, steps, scale)
    logs = np.log(scale) + lift + (highest[:, 0] if len(emissions) else 0.0)
    return Expected(_sums(logs, lengths), ahead * behind, _taken(weights, moves, steps, ahead, behind, scale))


def _forward(weights: Floats, moves: Floats, steps: list[Integers]) -> tuple[Floats, Floats]:
    """(U, C) the states' shares given the tokens up to here, and (U,) what they were divided by."""
    ahead, scale = np.empty_like(weights), np.ones(len(weights))
    for t, here in enumerate(steps):
        arriving = moves[0] if t == 0 else ahead[steps[t - 1][: len(here)]] @ moves[1:]
        found = arriving * weights[here]
        scale[here] = np.maximum(found.sum(1), np.finfo(np.float64).tiny)
        ahead[here] = found / scale[here, None]
    return ahead, scale


def _backward(weights: Floats, moves: Floats, steps: list[Integers], scale: Floats) -> Floats:
    """(U, C) how probable the tokens behind are from each state, divided by the same."""
    behind = np.ones_like(weights)
    for t in range(len(steps) - 2, -1, -1):
        after = steps[t + 1]
        behind[steps[t][: len(after)]] = ((weights[after] * behind[after]) / scale[after, None]) @ moves[1:].T
    return behind


def _taken(
    weights: Floats, moves: Floats, steps: list[Integers], ahead: Floats, behind: Floats, scale: Floats
) -> Floats:
    """(C + 1, C) how often each step is expected."""
    arriving = weights * behind / scale[:, None]
    begins = moves[0] * arriving[steps[0]].sum(0) if steps else np.zeros(moves.shape[1])
    before = [steps[t - 1][: len(here)] for t, here in enumerate(steps) if t]
    first = np.concatenate(before) if before else np.zeros(0, dtype=np.int64)
    second = np.concatenate(steps[1:]) if before else np.zeros(0, dtype=np.int64)
    return np.vstack([begins, moves[1:] * (ahead[first].T @ arriving[second])])


def path_scores(emissions: Floats, transitions: Floats, lengths: Integers, path: Integers) -> Floats:
    """(N,) the score of each row's path (U,)."""
    came = np.append(0, path[:-1] + 1)[: len(path)]
    came[starts_of(lengths)[lengths > 0]] = 0
    return _sums(emissions[np.arange(len(path)), path] + transitions[came, path], lengths)


def step_counts(path: Integers, lengths: Integers, states: int) -> Floats:
    """(C + 1, C) how often a path (U,) takes each step."""
    came = np.append(0, path[:-1] + 1)[: len(path)]
    came[starts_of(lengths)[lengths > 0]] = 0
    return np.bincount(came * states + path, minlength=(states + 1) * states).reshape(-1, states).astype(np.float64)


def starts_of(lengths: Integers) -> Integers:
    """(N,) where each row begins."""
    return np.cumsum(lengths) - lengths


def _steps(lengths: Integers) -> Iterator[Integers]:
    """For t = 0, 1, ...: the places of the t-th tokens, of the longest row first; fewer and fewer rows have one."""
    order = np.argsort(-lengths, kind="stable")
    starts, sizes = starts_of(lengths)[order], lengths[order]
    for t in range(int(sizes[0]) if len(sizes) else 0):
        yield starts[: int((sizes > t).sum())] + t


def _sums(values: Floats, lengths: Integers) -> Floats:
    """(U,) -> (N,) sums over each row."""
    ends = np.append(0.0, np.cumsum(values))
    starts = starts_of(lengths)
    return np.asarray(ends[starts + lengths] - ends[starts])
