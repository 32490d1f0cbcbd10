"""The oracles of hidden deployment against limits, direct recursions and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

import mesa_env
from mesa_env import Game
from mesa_env.problems import start_at_random_turn
from mesa_env.rules.hidden_deployment import HiddenDeployment
from mesa_env.solutions.hidden_deployment import (
    FilteringOracle,
    HiddenOracle,
    Situation,
    best_responses_given,
    first_costs,
    memoryless_coefficients,
    refinement,
    solve_hidden,
    solve_known,
    solve_memoryless,
)


def hidden_game(episodes=12, **parameters):
    return HiddenDeployment(learning_rates=np.ones(episodes), **parameters)


def read(solution, episode, log_odds):
    return float(solution.table.read(np.array([episode]), np.array([log_odds]))[0])


def known_coefficients(game):
    """Coefficients of agents that see the mode, in deployment and in training; shape (N, 2)."""
    squares, outputs = (sums[:, 1, 0] for sums in solve_known(game))
    situation = Situation(game.learning_rates, np.ones(game.episodes), squares, outputs)
    training = best_responses_given(game, situation)
    return np.stack([np.full_like(training, min(1.0, game.coefficient_bound)), training], axis=1)


# -- The equilibrium by belief ----------------------------------------------------------------------------


def test_checked_values():
    solution = solve_hidden(HiddenDeployment())
    assert read(solution, 20, logit(0.5)) == pytest.approx(0.173, abs=5e-4)
    assert read(solution, 0, logit(0.9)) == pytest.approx(0.067, abs=5e-4)


@pytest.mark.parametrize("shift", [0.0, 0.25, 1.0, 4.0, 10.0])
def test_grid_and_nodes_suffice(shift):
    assert refinement(HiddenDeployment(shift=shift)).coefficients < 1e-5


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_without_hazard_certain_agents_play_the_equilibrium_of_the_base_game(discount):
    rates = [1, 0.5, 1, 0, 1, 0.3, 0, 0]
    game = HiddenDeployment(rates, discount, hazard=0.0)
    expected = mesa_env.solve_equilibrium(Game(rates, discount))
    np.testing.assert_allclose(solve_hidden(game).table.values[:, -1], expected, atol=1e-9)
    np.testing.assert_allclose(known_coefficients(game)[:, 1], expected, rtol=1e-12)
    signals = np.linspace(-3, 3, 8)
    played = memoryless_coefficients(game, solve_memoryless(game), np.arange(8), signals)
    np.testing.assert_allclose(played, expected, rtol=1e-12)


def test_a_small_hazard_approaches_the_base_game():
    expected = mesa_env.solve_equilibrium(Game(np.ones(12)))
    errors = [
        np.abs(solve_hidden(hidden_game(hazard=hazard)).table.values[:, -1] - expected).max()
        for hazard in (1e-2, 1e-4, 1e-6)
    ]
    assert errors[2] < 1e-4
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def known_by_hand(game):
    """Training coefficients when modes are seen, by a scalar search and plain recursion."""
    squares, outputs, left, coefficients = np.zeros(2), np.zeros(2), 0.0, []
    for rate in game.learning_rates[::-1]:

        def cost(c, rate=rate, squares=squares, outputs=outputs, left=left):
            m = 1 - 2 * rate * (c * c + game.regularization)
            return (c - 1) ** 2 + game.discount * (m * m * squares[1] - 2 * m * outputs[1] + left)

        best = minimize_scalar(cost, bounds=(0, 2), method="bounded", options={"xatol": 1e-10}).x
        coefficients.insert(0, best)
        played, m = np.array([1, best]), np.array([1, 1 - 2 * rate * (best**2 + game.regularization)])
        squared = played**2 + game.discount * m * m * squares
        emitted = played + game.discount * m * outputs
        h, left = game.hazard, 1 + game.discount * left
        squares = np.array([squared[0], h * squared[0] + (1 - h) * squared[1]])
        outputs = np.array([emitted[0], h * emitted[0] + (1 - h) * emitted[1]])
    return np.array(coefficients)


@pytest.mark.parametrize("parameters", [{}, {"discount": 0.9, "regularization": 0.05}])
def test_a_large_shift_approaches_the_game_whose_mode_is_seen(parameters):
    game = hidden_game(20, shift=16.0, **parameters)
    by_hand = known_by_hand(game)
    known = known_coefficients(game)
    np.testing.assert_allclose(known[:, 1], by_hand, atol=1e-6)
    table = solve_hidden(game).table.values
    np.testing.assert_allclose(table[:, -1], known[:, 1], atol=1e-6)
    np.testing.assert_allclose(table[:, 0], known[:, 0], atol=1e-6)
    memoryless, every = solve_memoryless(game), np.arange(20)
    trained = memoryless_coefficients(game, memoryless, every, np.full(20, 16.0))
    deployed = memoryless_coefficients(game, memoryless, every[1:], np.zeros(19))
    np.testing.assert_allclose(trained, known[:, 1], atol=1e-6)
    np.testing.assert_allclose(deployed, known[1:, 0], atol=1e-6)


@pytest.mark.parametrize("hazard", [0.05, 0.5])
def test_without_shift_beliefs_go_by_the_clock(hazard):
    game = hidden_game(20, hazard=hazard, shift=0.0)
    believed = (1 - hazard) ** np.arange(20)
    squares, outputs, expected = np.zeros(2), np.zeros(2), np.empty(20)
    for n in reversed(range(20)):
        p = believed[n]
        roots = np.roots([8 * p * squares[1], 0, 1 - 4 * p * (squares[1] - outputs[1]), -1])
        expected[n] = c = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)][0]
        m = np.array([1, 1 - 2 * c * c])
        squared, emitted = c * c + m * m * squares, c + m * outputs
        squares = np.array([squared[0], hazard * squared[0] + (1 - hazard) * squared[1]])
        outputs = np.array([emitted[0], hazard * emitted[0] + (1 - hazard) * emitted[1]])
    solution = solve_hidden(game)
    found = [read(solution, n, game.prior[n]) for n in range(20)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    played = memoryless_coefficients(game, solve_memoryless(game), np.arange(20), np.zeros(20))
    np.testing.assert_allclose(played, expected, atol=1e-9)


def test_without_a_future_there_is_nothing_to_hide_for():
    for discount, tolerance in ((0.0, 1e-12), (1e-6, 1e-4)):
        game = hidden_game(discount=discount)
        np.testing.assert_allclose(solve_hidden(game).table.values, 1, atol=tolerance)
        np.testing.assert_allclose(known_coefficients(game), 1, atol=tolerance)


def test_coefficients_rise_with_doubt():
    table = solve_hidden(HiddenDeployment()).table
    assert (np.diff(table.values, axis=1) <= 1e-9).all()
    assert (table.values > 0).all()


@pytest.mark.parametrize(("shift", "episode"), [(0.5, 2), (1.0, 0), (3.0, 10)])
def test_agents_break_cover_at_a_belief_in_closed_form(shift, episode):
    # With η = γ = 1 and λ = 0, the cubic has the root 1/2 where p = 1 / (2 (2B − A)).
    game = hidden_game(20, shift=shift)
    solution = solve_hidden(game)
    every = np.full(len(solution.table.at), episode)
    value = 2 * solution.sums.outputs[episode, 1] - solution.sums.squares[episode, 1]
    covered = 2 * value * expit(solution.table.at) > 1
    coefficients = solution.table.read(every, solution.table.at)
    np.testing.assert_array_equal(coefficients < 0.5, covered)
    assert 0 < covered.sum() < len(every)


def test_first_costs_are_those_of_played_games():
    game = hidden_game(15, hazard=0.1, shift=1.5)
    signals = hidden_game(15, hazard=0.1, shift=1.5, observed="signal")
    costs = first_costs(game)
    generator = np.random.default_rng(0)
    for name, shown in (("belief", game), ("signal", signals)):
        played = mesa_env.rollout(shown, HiddenOracle(shown), np.ones(40_000), generator=generator)
        paid = ((played.outputs - 1) ** 2).sum(axis=1)
        assert abs(paid.mean() - costs[name]) < 4.5 * paid.std() / 200
    assert costs["known"] < costs["belief"] < costs["signal"]


def test_goals_that_outgrow_floating_point_are_reported():
    game = HiddenDeployment(np.full(400, 50.0), regularization=1.0, goal_bound=1e3)
    with (
        pytest.raises(ValueError, match="goals must not grow beyond floating point"),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        solve_hidden(game)


# -- Agents -----------------------------------------------------------------------------------------------


def test_filtering_oracle_plays_what_the_belief_oracle_plays():
    shown, signals = hidden_game(20), hidden_game(20, observed="signal")
    first = mesa_env.rollout(shown, HiddenOracle(shown), np.full(50, 0.8))
    second = mesa_env.rollout(signals, FilteringOracle(signals), np.full(50, 0.8))
    np.testing.assert_allclose(first.coefficients, second.coefficients, atol=1e-6)


def test_filtering_oracle_that_joins_late_knows_the_hazard_and_one_signal():
    game = hidden_game(10, hazard=0.3, observed="signal")
    state = start_at_random_turn(game, np.random.default_rng(0).random((30, 1 + game.n_uniforms)))
    agent, seen = FilteringOracle(game), game.observe(state)
    for begins in (None, np.ones(30, dtype=bool)):
        _, memory = agent.predict(seen, episode_start=begins)
        believed = 0.7**state.episode
        with np.errstate(divide="ignore"):
            expected = logit(believed) + seen[:, 4] - 0.5
        np.testing.assert_allclose(memory, expected, rtol=1e-6)


@pytest.mark.parametrize("observed", ["belief", "signal"])
def test_oracles_play_the_same_bits_alone_and_in_a_batch(observed):
    game = hidden_game(observed=observed)
    seen = game.observe(
        start_at_random_turn(game, np.random.default_rng(1).random((64, 1 + game.n_uniforms)))
    )
    agent = HiddenOracle(game)
    batch, _ = agent.predict(seen)
    assert batch.shape == (64, 1)
    for row, action in zip(seen, batch, strict=True):
        np.testing.assert_array_equal(agent.predict(row)[0], action)


def test_filter_needs_signals():
    with pytest.raises(ValueError, match="a filter needs a game with observed='signal'; got 'belief'"):
        FilteringOracle(hidden_game())
