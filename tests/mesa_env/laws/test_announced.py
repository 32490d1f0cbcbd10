"""The best announced schedules, and the bound on all of them, against exact equilibria."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.interpolate import CubicSpline

import mesa_env
from mesa_env import Game, laws

LENGTHS = [(5, 20), (20, 20), (60, 20), (5, 80), (20, 80), (100, 80), (20, 320)]


def solve(rates, deploy):
    """Exact retention, and coefficients in training."""
    c = mesa_env.solve_equilibria(np.pad(rates, (0, deploy))[None])[0, : len(rates)]
    return np.prod(1 - 2 * rates * c**2), c


@functools.cache
def least_curves():
    """q and p over s, by another solver than the law's own."""
    solved = solve_ivp(
        lambda _, y: (y[1] - y[0], 2 * (1 + math.sqrt(1 + y[0])) ** 2),
        (0, 5),
        (0, 0),
        "Radau",
        np.linspace(0, 5, 5001),
        rtol=1e-9,
        atol=1e-12,
    )
    return CubicSpline(solved.t, solved.y, axis=1)


class TestBestSchedule:
    @pytest.mark.parametrize(
        ("train", "deploy", "kept"), [(5, 80, 0.8916), (20, 80, 0.7799), (100, 80, 0.5634)]
    )
    def test_it_keeps_what_was_found_independently(self, train, deploy, kept):
        assert solve(laws.best_schedule(train, deploy), deploy)[0] == pytest.approx(kept, abs=5e-5)

    @pytest.mark.parametrize(("train", "deploy"), LENGTHS)
    def test_every_agent_plays_one_half_and_no_other_rate_takes_more(self, train, deploy):
        rates = laws.best_schedule(train, deploy)
        _, c = solve(rates, deploy)
        assert c == pytest.approx(0.5, abs=1e-12)
        for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
            for n in (0, train // 2, train - 1):
                changed = rates.copy()
                changed[n] *= factor
                own = solve(changed, deploy)[1][n]
                assert changed[n] * own**2 < rates[n] / 4

    @pytest.mark.parametrize(("train", "deploy"), LENGTHS)
    def test_the_law_of_what_it_leaves(self, train, deploy):
        exact = solve(laws.best_schedule(train, deploy), deploy)[0]
        assert abs(laws.scheduled_retention(train, deploy) - exact) < 0.02

    def test_rates_of_the_last_episodes_to_leading_order(self):
        rates = laws.best_schedule(200, 100_000)[::-1]
        left = np.arange(1, 201)
        assert rates[50:] == pytest.approx(1 / (2 * np.sqrt(1e5 * left[50:])), rel=0.05)

    def test_half_the_goal(self):
        assert laws.scheduled_retention(1.7959 * 80, 80) == pytest.approx(0.5, abs=1e-4)


class TestForesightedSchedule:
    @pytest.mark.parametrize(("train", "deploy"), LENGTHS)
    def test_it_takes_more_than_the_best_of_each_episode_and_less_than_the_bound(self, train, deploy):
        kept = solve(laws.foresighted_schedule(train, deploy), deploy)[0]
        greedy = solve(laws.best_schedule(train, deploy), deploy)[0]
        assert laws.least_retention(train, deploy) < kept < greedy
        assert kept - laws.least_retention(train, deploy) < 0.02

    def test_coefficients_depend_on_what_is_lost_alone(self):
        curves = []
        for train, deploy in ((60, 40), (90, 60)):
            rates = laws.foresighted_schedule(train, deploy)
            _, c = solve(rates, deploy)
            lost = -np.cumsum(np.log(1 - 2 * rates * c**2))
            curves.append(np.interp([0.1, 0.3, 0.5], lost, c))
        assert curves[0] == pytest.approx(curves[1], abs=1e-4)  # between episodes
        q = least_curves()(0.5)[0]
        assert curves[0][-1] == pytest.approx(1 / (1 + math.sqrt(1 + q)), abs=1e-4)


class TestBound:
    @pytest.mark.parametrize("lost", [1e-3, 0.1, 0.5, 2.0])
    def test_the_curve_is_that_of_another_solver(self, lost):
        assert laws.least_training(math.exp(-lost), 7) == pytest.approx(7 * least_curves()(lost)[0], rel=1e-5)

    def test_half_the_goal(self):
        assert laws.least_training(0.5, 1) == pytest.approx(1.7792, abs=5e-5)

    @pytest.mark.parametrize(
        ("train", "proven", "foresighted"), [(5, 0.8787, 0.8916), (20, 0.7709, 0.7799), (100, 0.5568, 0.5625)]
    )
    def test_numbers_of_the_theory_page(self, train, proven, foresighted):
        assert laws.least_retention(train, 80, proven=True) > proven
        assert laws.least_retention(train, 80, proven=True) == pytest.approx(proven, abs=1.5e-4)
        assert solve(laws.foresighted_schedule(train, 80), 80)[0] == pytest.approx(foresighted, abs=5e-5)

    def test_the_constants_of_the_proof(self):
        """Both factors of the integral in f_A are below ε², and δ/(2ε) below 0.62, for every ε ≤ 1/√8."""
        leak = np.linspace(1e-3, 1 / math.sqrt(8), 1000)
        lost = -np.log1p(-leak)
        assert ((np.cosh(2 * lost) - 1) / 4 < leak**2).all()
        assert ((np.sinh(2 * lost) - 2 * lost) / 2 < leak**2).all()
        assert (np.diff(lost / (2 * leak)) > 0).all()
        assert lost[-1] / (2 * leak[-1]) < 0.62

    @pytest.mark.parametrize("proven", [False, True])
    @pytest.mark.parametrize(("train", "deploy"), [*LENGTHS, (1, 1), (1000, 1)])
    def test_retention_and_training_are_inverse(self, train, deploy, proven):
        kept = laws.least_retention(train, deploy, proven)
        assert laws.least_training(kept, deploy, proven) == pytest.approx(train, rel=1e-6)

    @pytest.mark.parametrize("lost", [0.2, 1.0])
    def test_the_leading_order_attains_it(self, lost):
        """G and B along c = 1/(1 + √(1 + q(u))), and the episodes that they take, by quadrature."""
        grid = np.linspace(0, lost, 4001)
        q = least_curves()(grid)[0][::-1]  # u = lost − s
        c = 1 / (1 + np.sqrt(1 + q))
        solved = solve_ivp(
            lambda s, y: (y[1], 2 * y[0] / (1 - np.interp(s, grid, c)) - y[1]),
            (0, lost),
            (0, 1),
            rtol=1e-9,
            atol=1e-12,
            dense_output=True,
        )

        def pace(s):
            here = np.interp(s, grid, c)
            return 2 * solved.sol(s)[0] / (here * (1 - here))

        assert quad(pace, 0, lost)[0] == pytest.approx(q[0], rel=1e-5)

    @given(st.integers(1, 30), st.lists(st.floats(-9, 3), min_size=1, max_size=40))
    def test_no_schedule_gets_below_the_proven_bound(self, deploy, logarithms):
        rates = np.exp(np.array(logarithms))
        assert solve(rates, deploy)[0] >= laws.least_retention(len(rates), deploy, proven=True)

    @given(st.integers(1, 30), st.lists(st.floats(-9, 3), min_size=1, max_size=20))
    def test_unit_sums_move_as_the_proof_says(self, deploy, logarithms):
        rates = np.pad(np.exp(np.array(logarithms)), (0, deploy))
        game = Game(rates)
        c = mesa_env.solve_equilibrium(game)
        sums = mesa_env.unit_sums(game, c)
        squares, outputs = sums.squares, sums.outputs
        n = np.arange(1, len(logarithms))  # n − 1 sees what n adds to its successors
        leak = 2 * rates[n] * c[n] ** 2
        gap = outputs - squares
        assert (gap >= -1e-12).all()
        assert (leak <= 1 / math.sqrt(8 * deploy)).all()
        assert c[n] * (1 - c[n]) == pytest.approx(2 * leak * (gap[n] + leak * squares[n]), abs=1e-10)
        assert gap[n - 1] == pytest.approx(gap[n] + leak * outputs[n] + leak**2 * squares[n], abs=1e-10)

    @given(st.floats(0, 1), st.floats(0, 50), st.floats(0.001, 0.999), st.floats(0, 3), st.floats(0, 1))
    def test_the_potential_falls_by_hardly_more_than_one_in_an_episode(self, gap, squares, c, left, share):
        """One step of the proof, from any G and A, with any c that some learning rate brings about."""
        gap, squares = 50 * gap**3, 0.02 + squares
        spread = c * (1 - c)
        leak = spread / (gap + math.sqrt(gap**2 + 2 * squares * spread))
        leak = min(leak, 1 / math.sqrt(8))
        spread = 2 * leak * (gap + leak * squares)
        if spread > 0.25:
            return
        c = (1 + math.copysign(math.sqrt(1 - 4 * spread), c - 0.5)) / 2
        lost = -math.log1p(-leak)
        (q, p), (q_before, p_before) = least_curves()(left), least_curves()(left + lost)
        outputs = gap + squares
        before = p_before * gap + q_before * outputs
        after = p * (gap + leak * outputs + leak**2 * squares) + q * (outputs + c - leak * outputs)
        push = [2 * (1 + math.sqrt(1 + value)) ** 2 for value in (q, q_before)]
        allowance = lost / (2 * leak) * (2 * (p_before - p) + push[1] - push[0]) / 8
        assert before - after <= 1 + allowance + 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laws.best_schedule(0, 80), r"train must be a whole number in 1…10000000; got 0"),
        (lambda: laws.best_schedule(20, 0), r"deploy must be a whole number in 1…10000000; got 0"),
        (lambda: laws.foresighted_schedule(2.5, 80), "train must be a whole number .*; got 2.5"),
        (lambda: laws.scheduled_retention(20, 0), "deploy must be a finite number in .*; got 0"),
        (lambda: laws.least_training(0.0, 80), "retention must be a finite number in .*; got 0.0"),
        (lambda: laws.least_retention(20, 80, 1), "proven must be True or False; got 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
