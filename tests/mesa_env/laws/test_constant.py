"""The laws of a constant learning rate, against exact equilibria over the regimes that they name."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import mesa_env
from mesa_env import laws


def solve(train, deploy, rate, regularization=0.0):
    """Exact retention, and coefficients in training."""
    schedule = np.pad(np.full(train, float(rate)), (0, deploy))[None]
    c = mesa_env.solve_equilibria(schedule, 1.0, regularization)[0, :train]
    return np.prod(1 - 2 * rate * (c**2 + regularization)), c


def test_the_package_shows_its_laws_without_an_import_of_them():
    assert mesa_env.laws.retention is laws.retention


class TestRetention:
    @pytest.mark.parametrize("ratio", [1, 10, 100])
    @pytest.mark.parametrize(
        ("deploy", "rate"), [(20, 1.0), (20, 10.0), (80, 0.3), (80, 1.0), (80, 10.0), (320, 0.1), (320, 1.0)]
    )
    def test_error_is_as_small_as_promised(self, deploy, rate, ratio):
        error = laws.retention(ratio * deploy, deploy, rate) - solve(ratio * deploy, deploy, rate)[0]
        assert abs(error) < (0.006 if min(deploy, rate * deploy) >= 80 else 0.025)

    def test_it_is_as_found_independently(self):
        assert laws.retention(64_000, 800, 1.0) == pytest.approx(0.6983, abs=5e-5)

    @given(st.floats(1e-3, 0.999999), st.floats(1, 1e3), st.floats(1e-2, 1e2))
    def test_it_inverts_the_law(self, kept, deploy, rate):
        tau = 8 / 9 * ((kept**-2 - 1) / 2 + 2 * (kept - 1) + (1 - kept**4) / 4)
        train = rate * deploy**2 * tau
        if tau > 1e-9 and train <= 1e7:
            assert laws.retention(train, deploy, rate) == pytest.approx(kept, abs=1e-6)

    def test_it_agrees_with_the_law_of_small_losses_where_both_hold(self):
        for train in (1, 10, 100):
            lost = -math.log(laws.retention(train, 1e4, 10.0))
            assert lost == pytest.approx(laws.small_loss(train, 1e4, 10.0), rel=0.03)

    def test_the_whole_goal_is_left_without_training(self):
        assert laws.retention(0, 80, 1.0) == 1

    @pytest.mark.parametrize(("deploy", "exact", "excess"), [(20, 294, 0.13), (80, 4296, 0.03)])
    def test_half_life(self, deploy, exact, excess):
        assert solve(exact, deploy, 1.0)[0] <= 0.5 < solve(exact - 1, deploy, 1.0)[0]
        assert 0 < exact / laws.half_life(deploy, 1.0) - 1 < excess
        assert laws.retention(laws.half_life(deploy, 1.0), deploy, 1.0) == pytest.approx(0.5)


class TestSmallLoss:
    @pytest.mark.parametrize(("train", "deploy"), [(10, 20), (10, 80), (20, 80), (10, 320), (80, 320)])
    def test_error_is_as_small_as_promised_at_any_rate(self, train, deploy):
        tried = 0
        for rate in np.geomspace(1e-4, 10, 30):
            lost = -math.log(solve(train, deploy, rate)[0])
            if lost <= 0.1:
                assert laws.small_loss(train, deploy, rate) == pytest.approx(lost, rel=0.06)
                tried += 1
        assert tried > 5

    @given(st.floats(1, 1e4), st.floats(1, 1e4))
    def test_the_best_rate_is_its_maximum(self, train, deploy):
        best = laws.best_constant_rate(train, deploy)
        taken = laws.small_loss(train, deploy, best)
        assert taken == pytest.approx(math.sqrt(3) / (4 * best * deploy))
        for factor in (0.5, 0.9, 1.1, 2.0):
            assert laws.small_loss(train, deploy, factor * best) < taken

    @pytest.mark.parametrize(("train", "deploy"), [(10, 80), (20, 80), (10, 320), (80, 320), (200, 800)])
    def test_the_best_rate_of_the_exact_game_is_close(self, train, deploy):
        best = laws.best_constant_rate(train, deploy)
        found = minimize_scalar(
            lambda x: solve(train, deploy, math.exp(x))[0],
            bounds=(math.log(best / 3), math.log(best * 3)),
            options={"xatol": 1e-4},
        )
        assert math.exp(found.x) == pytest.approx(best, rel=0.1)


class TestWithoutDeployment:
    @pytest.mark.parametrize(("left", "rate"), [*product((25, 100, 1000), (0.1, 0.3, 1.0))])
    def test_first_coefficient(self, left, rate):
        exact = solve(left, 0, rate)[1][0]
        assert laws.coefficient_without_deployment(left, rate) == pytest.approx(exact, rel=0.03)

    def test_goals_fall_as_square_roots_of_what_is_left(self):
        c = solve(1000, 0, 1.0)[1]
        kept = np.cumprod(1 - 2 * c**2)
        assert kept[:900] == pytest.approx(np.sqrt(1 - np.arange(1, 901) / 1000), rel=0.02)


class TestTippingRegularization:
    @pytest.mark.parametrize(
        ("train", "deploy", "rate", "error"),
        [
            (5, 80, 1.0, 0.03),
            (20, 320, 0.1, 0.03),
            (20, 320, 1.0, 0.03),
            (50, 800, 3.0, 0.03),
            (20, 80, 1.0, 0.05),
        ],
    )
    def test_the_first_agent_is_most_silent_there(self, train, deploy, rate, error):
        tip = laws.tipping_regularization(train, rate)
        found = minimize_scalar(
            lambda weight: solve(train, deploy, rate, weight)[1][0],
            bounds=(0, 2 * tip),
            options={"xatol": 1e-9},
        )
        assert found.x == pytest.approx(tip, rel=error)

    def test_it_alone_takes_half_the_goal_of_long_training(self):
        assert (1 - 2 * laws.tipping_regularization(1e5, 1.0)) ** 1e5 == pytest.approx(0.5, abs=1e-5)
        assert solve(50, 3200, 1.0, laws.tipping_regularization(50, 1.0))[1][0] * 3201 == pytest.approx(
            1, abs=0.02
        )


class TestLeakedEnergy:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.4))
    def test_the_identity_holds_for_any_coefficients(self, profile, rate):
        c = np.array(profile)
        goals = np.cumprod(np.append(1.0, 1 - 2 * rate * c**2))
        outputs = c * goals[:-1]
        law = laws.leaked_energy(1.0, goals[-1], rate)
        assert np.sum(outputs**2 * (1 - rate * c**2)) == pytest.approx(law, abs=1e-12)

    def test_the_first_experiment(self):
        game = mesa_env.Game()
        played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
        energy, law = np.sum(played.outputs[:20] ** 2), laws.leaked_energy(0.8, played.goals[20], 1.0)
        assert energy == pytest.approx(0.02939, abs=5e-6)
        assert law == pytest.approx(0.02924, abs=5e-6)
        largest = played.coefficients[:20].max() ** 2
        assert 0 < energy / law - 1 < largest / (1 - largest)

    def test_a_monitor_sees_what_little_training_takes(self):
        lost, rate, noise = 1e-4, 0.5, 0.1
        z = laws.detectability(0.8, 0.8 * math.exp(-lost), rate, noise)
        assert z == pytest.approx(0.8 / noise * math.sqrt(lost / (2 * rate)), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laws.retention(20, 0, 1.0), r"deploy must be a finite number in \[1, 1e\+07\]; got 0"),
        (lambda: laws.retention(-1, 80, 1.0), "train must be a finite number in .*; got -1"),
        (lambda: laws.half_life(80, 0), "learning_rate must be a finite number greater than 0 .*; got 0"),
        (lambda: laws.small_loss("many", 80, 1.0), "train must be a finite number in .*; got 'many'"),
        (lambda: laws.leaked_energy(0.5, 0.6, 1.0), r"final_goal must be a finite number in \[-0.5, 0.5\]"),
        (lambda: laws.detectability(0.5, 0.4, 1.0, 0.0), "noise must be a finite number greater than 0"),
        (lambda: laws.tipping_regularization(1, 1.0), "train must be a finite number in .*; got 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
