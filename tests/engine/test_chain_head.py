"""The chain over a network: its loss and gradient against every path written out, its start, its files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sartor.classical.chain import expected, legal
from sartor.engine.chain_head import PACE, ChainHead, apart, losses, solve_chain

LENGTHS = torch.tensor([4, 0, 1, 3])
STATES = 3
TARGETS = torch.tensor([0, 1, 2, 1, 2, 0, 0, 1])


def chain(seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shape = (int(LENGTHS.sum()), STATES)
    return torch.randn(shape, generator=draw), torch.randn(STATES + 1, STATES, generator=draw)


def written_out(emissions: Tensor, transitions: Tensor) -> Tensor:
    """(N,) -log p of the targets, over all paths, in 64 bits."""
    out, start = [], 0
    for length in LENGTHS.tolist():

        def score(path: tuple[int, ...], start: int = start) -> Tensor:
            came = (-1, *path)[: len(path)]
            each = [
                emissions[start + t, y] + transitions[x + 1, y] for t, (x, y) in enumerate(zip(came, path, strict=True))
            ]
            return torch.stack(each).sum() if each else torch.zeros((), dtype=torch.float64)

        known = tuple(TARGETS[start : start + length].tolist())
        every = torch.stack([score(path) for path in itertools.product(range(STATES), repeat=length)])
        out.append(torch.logsumexp(every, 0) - score(known))
        start += length
    return torch.stack(out)


def test_the_loss_and_its_gradient_are_those_of_all_paths() -> None:
    emissions, transitions = (t.requires_grad_(True) for t in chain())
    wide = [t.detach().double().requires_grad_(True) for t in (emissions, transitions)]
    found, truth = losses(emissions, transitions, TARGETS, LENGTHS), written_out(*wide)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, truth.float(), rtol=1e-5, atol=1e-5)
    found.sum().backward()
    truth.sum().backward()
    for narrow, known in zip((emissions, transitions), wide, strict=True):
        torch.testing.assert_close(narrow.grad, known.grad.float(), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_what_is_expected_less_what_is_there() -> None:
    emissions, transitions = (t.requires_grad_(True) for t in chain(1))
    losses(emissions, transitions, TARGETS, LENGTHS).sum().backward()
    said = expected(emissions.detach().double().numpy(), transitions.detach().double().numpy(), LENGTHS.numpy())
    there = np.eye(STATES)[TARGETS.numpy()]
    np.testing.assert_allclose(emissions.grad.numpy(), said.states - there, atol=1e-5)


def test_forbidden_steps_are_in_no_sum() -> None:
    emissions, transitions = chain(2)
    allowed = torch.from_numpy(legal(("O", "B-A", "I-A"))).float()
    fitting = torch.tensor([1, 2, 0, 1, 0, 1, 2, 2])
    found = losses(emissions, transitions + allowed, fitting, LENGTHS)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    assert found[1] == 0
    assert (losses(emissions, transitions + allowed, TARGETS, LENGTHS) > 1000).any()  # I-A at a row's beginning


def test_a_row_s_loss_does_not_depend_on_its_neighbours() -> None:
    emissions, transitions = chain(3)
    together = losses(emissions, transitions, TARGETS, LENGTHS)
    alone = losses(emissions[:4], transitions, TARGETS[:4], LENGTHS[:1])
    torch.testing.assert_close(together[:1], alone)


def test_the_transitions_travel_with_the_outputs_and_move_faster() -> None:
    head = ChainHead(nn.Linear(5, STATES), torch.randn(STATES + 1, STATES))
    outputs = head(torch.randn(7, 5))
    emissions, transitions = apart(outputs, STATES)
    assert emissions.shape == (7, STATES)
    torch.testing.assert_close(transitions, PACE * head.slow)
    transitions[1, 2].backward()
    assert head.slow.grad is not None
    assert head.slow.grad[1, 2] == PACE
    assert apart(head(torch.zeros(0, 5)), STATES)[1].shape == (STATES + 1, STATES)


def test_it_is_kept_and_taken_up(tmp_path: Path) -> None:
    head = ChainHead(nn.Linear(5, STATES), torch.randn(STATES + 1, STATES))
    layer = head.keep(tmp_path)
    assert layer is head.emission
    again = ChainHead(nn.Linear(5, STATES), torch.zeros(STATES + 1, STATES))
    again.take_up(layer, tmp_path)
    x = torch.randn(3, 5)
    torch.testing.assert_close(again(x), head(x))


def test_the_solved_chain_explains_the_rows_best() -> None:
    """Emissions that say little beside steps that say much: B is always followed by I."""
    draw = np.random.default_rng(0)
    lengths = np.full(60, 6)
    targets = np.tile([0, 1, 2, 0, 1, 2], 60)
    emissions = 0.5 * np.eye(3)[targets] + draw.normal(scale=0.5, size=(360, 3))
    steps = legal(("O", "B-A", "I-A"))

    def loss(scale: float, free: np.ndarray) -> float:
        said = torch.from_numpy(scale * emissions)
        found = losses(said, torch.from_numpy(free + steps), torch.from_numpy(targets), torch.from_numpy(lengths))
        return float(found.sum()) + 0.5 * float((free**2).sum())

    scale, free = solve_chain(emissions, targets, lengths, steps, penalty=1.0)
    best = loss(scale, free)
    assert best < 0.3 * loss(1.0, np.zeros((4, 3)))
    for _ in range(5):
        assert loss(scale + draw.normal(scale=0.05), free + draw.normal(scale=0.05, size=free.shape)) > best
