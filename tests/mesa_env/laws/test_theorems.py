"""What docs/theory.md says beside the laws: patience silences, and hiding training does not help."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import mesa_env
from mesa_env import laws
from mesa_env.numerics import positive_root

SHAPES = (1, 3), (3, 2), (5, 9), (12, 30), (20, 80)
"""Training episodes and deployment of the random games."""


def count_rises(regularized, games=7000):
    """Random games in which some coefficient of training rises with patience."""
    generator = np.random.default_rng(11)
    rises = 0
    for train, deploy in SHAPES:
        rates = 10 ** generator.uniform(-2, 0.5, (games // len(SHAPES), train))
        low, step, weight = generator.uniform(0, 1, (3, len(rates)))
        high = low + step * (1 - low)
        weights = regularized * weight / (2 * rates.max(axis=1))
        whole = np.pad(rates, ((0, 0), (0, deploy)))
        before, after = (mesa_env.solve_equilibria(whole, g, weights)[:, :train] for g in (low, high))
        rises += int((after > before * (1 + 1e-9)).any(axis=1).sum())
    return rises


class TestPatience:
    def test_it_silences_every_agent_in_training(self):
        assert count_rises(0.0) == 0

    def test_with_a_regularizer_it_need_not(self):
        assert 0.003 < count_rises(1.0) / 7000 < 0.01


def play_hidden(rates, deploy, chance):
    """E θ_T/θ_0 where each episode trains with a chance, of which agents know no more; exact equilibrium.

    With independent draws, successors' unit sums are expected ones, and the best response is the cubic's root
    with α and 1 − β multiplied by the chance.
    """
    squares = outputs = float(deploy)
    kept = 1.0
    for rate in reversed(rates):
        alpha = 8 * rate**2 * chance * squares
        c = positive_root(alpha, 1 - 4 * rate * chance * (squares - outputs))
        m = 1 - 2 * rate * c**2
        squares = c**2 + (chance * m**2 + 1 - chance) * squares
        outputs = c + (chance * m + 1 - chance) * outputs
        kept *= chance * m + 1 - chance
    return kept


class TestHiddenTraining:
    def test_certain_training_is_the_base_game(self):
        c = mesa_env.solve_equilibrium(mesa_env.Game(mesa_env.train_then_deploy(7, 30, 0.3)))[:7]
        assert play_hidden([0.3] * 7, 30, 1.0) == pytest.approx(np.prod(1 - 0.6 * c**2))

    @pytest.mark.parametrize(("train", "deploy"), [(5, 20), (20, 80), (100, 80)])
    def test_it_does_not_help_at_the_best_constant_rate(self, train, deploy):
        kept = []
        for chance in (1.0, 0.7, 0.4, 0.1):
            found = minimize_scalar(
                lambda x, chance=chance: play_hidden([math.exp(x)] * train, deploy, chance),
                bounds=(math.log(laws.best_constant_rate(train, deploy) / 3), math.log(0.5)),
            )
            kept.append(found.fun)
        assert (np.diff(kept) > 0).all()

    @given(
        st.integers(1, 20),
        st.lists(st.floats(-6, 1), min_size=1, max_size=20),
        st.floats(0.05, 1),
    )
    def test_the_proven_bound_covers_it(self, deploy, logarithms, chance):
        kept = play_hidden(np.exp(logarithms).tolist(), deploy, chance)
        assert kept >= laws.least_retention(len(logarithms), deploy, proven=True)


class TestConvexity:
    """The paths to leading order that the bound is about, in s = −ln(θ_T/θ_0), per episode of deployment."""

    @pytest.mark.parametrize("seed", range(5))
    def test_no_path_needs_less_training_than_the_bound(self, seed):
        lost = np.linspace(0, 0.8, 2001)
        bend = np.random.default_rng(seed).normal(0, 1, 3)
        waves = bend @ [np.ones_like(lost), np.cos(4 * lost), np.sin(9 * lost)]
        c = 0.5 if seed == 0 else 1 / (1 + np.exp(waves))
        training = follow(np.broadcast_to(c, lost.shape), lost)
        assert training > laws.least_training(math.exp(-0.8), 1)
        if seed == 0:
            assert laws.scheduled_retention(training * 1000, 1000) == pytest.approx(math.exp(-0.8), rel=1e-4)


def follow(c, lost):
    """T/D along c(s), by Heun's rule; G = g and B = b."""

    def change(k, g, b):
        pull = 2 * g / (1 - c[k])
        return np.array([b, pull - b, pull / c[k]])

    state = np.array([0.0, 1.0, 0.0])
    for k, step in enumerate(np.diff(lost)):
        slope = change(k, *state[:2])
        ahead = state + step * slope
        state = state + step * (slope + change(k + 1, *ahead[:2])) / 2
    return state[2]
