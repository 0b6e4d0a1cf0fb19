"""Tokens as features: the same neighbourhood, the same features; another, others."""

from __future__ import annotations

import numpy as np

from sartor.classical.contexts import Contexts, hashed


def test_a_token_s_features_are_those_of_its_neighbourhood() -> None:
    together = hashed([["a", "big", "cat", "sat", "on", "it"], ["x", "y"]])
    assert together.shape[0] == 8
    again = hashed([["q", "big", "cat", "sat", "on", "it", "w"]])
    assert (together[3] == again[3]).all()  # "sat", with two tokens on each side
    assert not (together[3] == hashed([["q", "big", "cat", "sat", "at", "it"]])[3]).all()


def test_the_border_of_a_row_is_a_neighbour_too() -> None:
    first, inside = hashed([["cat", "sat"]]), hashed([["the", "cat", "sat"]])
    assert not (first[0] == inside[1]).all()
    assert (first == hashed([["cat", "sat"], ["cat", "sat"]])[2:]).all()


def test_a_word_s_parts_are_shared_by_words_like_it() -> None:
    one, other = hashed([["Running"]])[0], hashed([["Jumping"]])[0]
    shared = (one == other) & (one != 0)
    assert 5 < shared.sum() < len(one)


def test_the_matrix_has_what_was_learned_and_nothing_else() -> None:
    rows = [["Ada", "was", "here"], ["Ada", "left"], []]
    contexts = Contexts.learn(rows)
    made = contexts.matrix(rows)
    assert made.shape == (5, len(contexts.columns))
    assert made.nnz == (hashed(rows) != 0).sum()
    assert contexts.matrix([["完", "全"], ["other"]]).nnz < 60
    assert contexts.matrix([[], []]).shape == (0, len(contexts.columns))


def test_what_occurs_once_is_left_out_of_many_tokens() -> None:
    rows = [[f"w{i % 50}" for i in range(start, start + 40)] for start in range(0, 24_000, 40)]
    contexts = Contexts.learn([*rows, ["unique"]])
    whole = np.unique(hashed([*rows, ["unique"]]))
    assert 0 < len(contexts.columns) < len(whole) - 1
