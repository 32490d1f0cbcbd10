"""Gains of best responses against brute force, in the base game and with local policies."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Decoupling, Game
from mesa_env.evaluation.gains import decoupling_deviations
from mesa_env.solutions.decoupling import solve_decoupling
from tests.mesa_env.solutions.test_decoupling import Mixed, costs_of, games, least_over_slopes, random_profile
from tests.mesa_env.solutions.test_equilibrium import (
    cubic_of,
    equilibrium_of,
    games_with_profiles,
    moderate_rates,
    rounding_of_cost,
    unit_cost,
)

# -- The base game ----------------------------------------------------------------------------------------


def unbounded(game):
    """The same game, in which no goal comes near its bound."""
    return dataclasses.replace(game, goal_bound=1e38, initial_goal=1e-30)


@given(games_with_profiles())
def test_equilibrium_cannot_be_exploited(game_and_profile):
    game = unbounded(game_and_profile[0])
    equilibrium = equilibrium_of(game)
    assert (equilibrium > 0).all()
    assert (equilibrium <= game.coefficient_bound).all()
    assert (mesa_env.exploitability(game, equilibrium) <= 1e-14).all()
    assert mesa_env.nash_conv(game, equilibrium) <= 1e-14


@given(games_with_profiles(rates=moderate_rates, longest=5))
def test_exploitability_is_what_the_best_deviation_gains_when_played(game_and_profile):
    game, profile = unbounded(game_and_profile[0]), game_and_profile[1]
    gains = mesa_env.exploitability(game, profile)
    scan = np.linspace(-game.coefficient_bound, game.coefficient_bound, 2001)
    step = scan[1] - scan[0]
    assert (gains >= 0).all()
    for n, gain in enumerate(gains):
        played = unit_cost(game, profile, n, profile[n])
        best = mesa_env.best_response(game, profile, n)
        rounding = rounding_of_cost(game, profile, n) + 1e-12 * played
        assert gain == pytest.approx(played - unit_cost(game, profile, n, best), rel=1e-9, abs=rounding)
        # The scan needs no solver: its best gains no more, and less only by what its step can miss.
        scanned = played - unit_cost(game, profile, n, scan).min()
        alpha, beta, _ = (float(value) for value in cubic_of(game, profile, n))
        curvature = 3 * alpha * (best + step) ** 2 + abs(beta)
        slope = abs(alpha * best**3 + beta * best - 1)
        missed = curvature * step**2 + 2 * slope * step
        assert gain - missed - rounding <= scanned <= gain + rounding


@pytest.mark.parametrize("episode", [0, 19, 20, 99])
@pytest.mark.parametrize("shift", [-0.3, -1e-3, 1e-3, 0.3])
def test_a_perturbed_equilibrium_is_exploitable(episode, shift):
    game = Game()
    profile = mesa_env.solve_equilibrium(game)
    profile[episode] += shift
    gains = mesa_env.exploitability(game, profile)
    assert gains[episode] > 0.5 * shift**2
    assert (gains[episode + 1 :] <= 1e-30).all()


@given(games_with_profiles(rates=moderate_rates))
def test_nash_conv_and_relative_exploitability_follow_from_exploitability(game_and_profile):
    game, profile = game_and_profile
    gains = mesa_env.exploitability(game, profile)
    assert mesa_env.nash_conv(game, profile) == pytest.approx(gains.sum(), rel=1e-12)
    n = np.arange(game.episodes)
    abstaining = np.array([unit_cost(game, np.zeros_like(profile), k, 0.0) for k in n])
    np.testing.assert_allclose(
        mesa_env.relative_exploitability(game, profile), gains / abstaining, rtol=1e-12, atol=0
    )


def test_where_unit_sums_overflow_gains_are_those_under_the_bound():
    game = Game(learning_rates=np.ones(200))
    gains = mesa_env.exploitability(game, np.full(200, 2.0))  # unit outputs grow sevenfold per episode
    others = mesa_env.exploitability(Game(learning_rates=np.ones(200), goal_bound=10.001), np.full(200, 2.0))
    np.testing.assert_allclose(gains[100:], others[100:], rtol=1e-3)
    assert np.isfinite(gains).all()


def test_a_goal_of_zero_leaves_gains_per_unit_of_goal_unbounded_where_sums_overflow():
    game = Game(learning_rates=np.ones(200), initial_goal=0.0)
    assert mesa_env.exploitability(game, np.full(200, 2.0))[0] == np.inf


# -- Local policies ---------------------------------------------------------------------------------------


@given(games(), st.integers(0, 1000))
def test_exploitability_is_what_a_fine_search_would_gain(game, seed):
    agent = Mixed(game, *random_profile(game, seed))
    gains = decoupling_deviations(game, *agent.actions.T.astype(np.float64))[0]
    grid = np.linspace(-game.coefficient_bound, game.coefficient_bound, 2001)
    for n in range(game.episodes):
        costs = least_over_slopes(game, agent, n, grid)
        own = costs_of(game, agent, n, agent.actions[n : n + 1].astype(np.float64))[0]
        assert gains[n] >= own - costs.min() - 1e-9 * (1 + own)
        assert gains[n] <= own - costs.min() + 1e-5 * (1 + np.ptp(costs))  # by which a grid may miss it


@given(games())
def test_the_equilibrium_cannot_be_exploited_and_any_other_profile_can(game):
    coefficients, slopes = solve_decoupling(game)
    assert decoupling_deviations(game, coefficients, slopes)[0].max() <= 1e-12
    other = coefficients.copy()
    other[0] *= 0.9
    assert decoupling_deviations(game, other, slopes)[0][0] > 1e-5


@pytest.mark.parametrize("slopes", [[0.0], [0.0, 9.0, 0.0], [0.0, np.nan, 0.0]])
def test_bad_profiles_are_refused(slopes):
    game = Decoupling([1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="slopes must be 3 finite numbers"):
        decoupling_deviations(game, np.ones(3), slopes)
    with pytest.raises(ValueError, match="coefficients must"):
        decoupling_deviations(game, np.full(3, 7.0), np.ones(3))


@pytest.mark.parametrize(("goal", "finite"), [(0.8, True), (0.0, False)])
def test_where_unit_sums_overflow_gains_are_those_under_the_bound_unless_the_goal_is_zero(goal, finite):
    game = Decoupling(np.full(400, 6.0), decoupling=0.1, goal_bound=1.0, initial_goal=goal)
    gains = decoupling_deviations(game, np.full(400, 2.0), np.full(400, 2.0))[0]
    assert np.isfinite(gains[0]) == finite
    assert np.isfinite(gains[-1])
