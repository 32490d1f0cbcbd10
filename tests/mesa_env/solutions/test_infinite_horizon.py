"""The oracle of endless games: checked numbers, closed forms and limits."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import agents
import mesa_env
from mesa_env import Game, InfiniteHorizon, train_then_deploy
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.infinite_horizon import (
    solve_infinite_horizon,
    stationary_coefficients,
)


def endless(rate=1.0, discount=0.9, max_episodes=12, **parameters):
    return InfiniteHorizon([rate], discount=discount, max_episodes=max_episodes, **parameters)


MIXED = InfiniteHorizon([1, 0.3, 0, 0.6], discount=0.85, regularization=0.1, max_episodes=10)


def finite(game, episodes):
    """Coefficients of the finite game that follows the schedule for so many episodes."""
    rates = game.learning_rates[: game.stationary_from + 1]
    schedule = np.append(rates, np.full(episodes - len(rates), rates[-1]))
    return mesa_env.solve_equilibria(
        schedule[None], game.discount, game.regularization, game.coefficient_bound
    )[0]


# -- Numbers ----------------------------------------------------------------------------------------------


def test_endless_deployment_after_twenty_episodes_of_training():
    game = InfiniteHorizon(train_then_deploy(20, 1), discount=0.99, max_episodes=30)
    c = solve_infinite_horizon(game)
    assert c.shape == (30,)
    assert c[0] == pytest.approx(0.032678, abs=5e-7)
    assert c[19] == pytest.approx(0.104191, abs=5e-7)
    np.testing.assert_allclose(c[20:], 1, rtol=0, atol=1e-12)


def test_endless_training():
    c = solve_infinite_horizon(endless())
    assert c[0] == pytest.approx(0.215468, abs=5e-7)
    np.testing.assert_array_equal(c, c[0])


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("rate", "regularization"), [(1.0, 0.0), (0.3, 0.2)])
def test_endless_deployment_is_the_closed_form_from_its_infinite_sums(discount, rate, regularization):
    """Backward induction from A = B = K = 1/(1 − γ), each step by the one positive root of its cubic."""
    game = InfiniteHorizon(
        train_then_deploy(6, 1, rate), discount=discount, regularization=regularization, max_episodes=8
    )
    squares = outputs = 1 / (1 - discount)
    expected, drift = np.ones(8), 1 - 2 * rate * regularization
    for n in reversed(range(6)):
        alpha = 8 * rate**2 * discount * squares
        beta = 1 - 4 * rate * discount * (drift * squares - outputs)
        roots = np.roots([alpha, 0, beta, -1]) if alpha else np.array([1 / beta])
        (c,) = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
        expected[n], m = c, drift - 2 * rate * c * c
        squares, outputs = c * c + discount * m * m * squares, c + discount * m * outputs
    np.testing.assert_allclose(solve_infinite_horizon(game), expected, rtol=1e-10)


# -- Limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [endless(), endless(0.1, 0.5), MIXED], ids=["ever", "slow", "mixed"])
def test_finite_games_approach_it_as_they_become_longer(game):
    limit, length = solve_infinite_horizon(game), game.stationary_from + 1
    gaps = [np.abs(finite(game, n)[:length] - limit[:length]).max() for n in (10, 20, 40, 80, 160, 320)]
    assert all(later < earlier or later < 1e-12 for earlier, later in itertools.pairwise(gaps))
    assert gaps[0] > 1e-6
    assert gaps[-1] < 1e-10


def test_the_less_agents_look_ahead_the_more_openly_they_act():
    c = [solve_infinite_horizon(endless(discount=gamma))[0] for gamma in (0.0, 1e-6, 1e-3, 0.1)]
    assert c[0] == 1
    assert c[1] == pytest.approx(1, abs=1e-5)
    assert (np.diff(c) < 0).all()


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_patient_agents_hide_their_goals_as_their_discount_says(rate):
    """c approaches √((1 − γ)/(2η)), and the distance from it vanishes."""
    gammas = np.array([0.99, 0.999, 0.9999])
    c = np.array([solve_infinite_horizon(endless(rate, gamma))[0] for gamma in gammas])
    distance = np.abs(c / np.sqrt((1 - gammas) / (2 * rate)) - 1)
    assert (np.diff(distance) < 0).all()
    assert distance[-1] < 0.01


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("discount", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("regularization", [0.0, 0.2])
def test_the_solution_is_a_stationary_coefficient(rate, discount, regularization):
    game = endless(rate, discount, regularization=regularization)
    stationary = stationary_coefficients(game)
    assert stationary.size
    assert np.abs(stationary - solve_infinite_horizon(game)[-1]).min() < 1e-9


@pytest.mark.parametrize("game", [endless(), endless(0.3, 0.95, regularization=0.2)])
def test_stationary_coefficients_are_best_responses_to_themselves(game):
    for c in stationary_coefficients(game):
        long = Game(np.full(800, game.learning_rates[-1]), game.discount, game.regularization)
        assert mesa_env.best_response(long, np.full(800, c), 0) == pytest.approx(c, abs=1e-9)


def test_the_bound_is_kept():
    c = solve_infinite_horizon(endless(discount=0.5, coefficient_bound=0.3))
    np.testing.assert_array_equal(c, 0.3)


@pytest.mark.parametrize(("bound", "clipped"), [(0.3, True), (0.4, True), (0.6, False), (2.0, False)])
def test_a_best_response_that_the_bound_clips_is_stationary_too(bound, clipped):
    game = endless(discount=0.5, coefficient_bound=bound)
    (c,) = stationary_coefficients(game)
    assert bool(c == bound) is clipped
    assert c == pytest.approx(solve_infinite_horizon(game)[-1], abs=1e-9)
    long = Game(np.ones(100), 0.5, coefficient_bound=bound)
    assert mesa_env.best_response(long, np.full(100, c), 0) == pytest.approx(c, abs=1e-9)


@pytest.mark.parametrize(("rate", "regularization"), [(1.0, 2.0), (0.5, 3.0)])
def test_goals_that_grow_faster_than_they_are_discounted_are_refused(rate, regularization):
    """Where m² γ ≥ 1, unit sums diverge."""
    game = endless(rate, regularization=regularization)
    with pytest.raises(
        ValueError, match=r"^goals must not grow faster than they are discounted; .* the last$"
    ) as refusal:
        solve_infinite_horizon(game)
    assert f"learning rate {rate:g} and regularization {regularization:g}" in str(refusal.value)
    assert "each is -" in str(refusal.value)
    assert np.isfinite(solve_infinite_horizon(endless(rate, 0.05, regularization=regularization))).all()


def test_regularization_composes():
    """The oracle of a regularized game is the limit of regularized finite ones, and differs from without."""
    plain, regular = endless(0.5), endless(0.5, regularization=0.2)
    assert solve_infinite_horizon(regular)[0] == pytest.approx(finite(regular, 500)[0], abs=1e-12)
    assert abs(solve_infinite_horizon(regular)[0] - solve_infinite_horizon(plain)[0]) > 0.01


# -- Agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [endless(), MIXED])
def test_the_oracle_is_an_agent_that_plays_it(game):
    played = mesa_env.rollout(with_fixed_length(game), agents.make("equilibrium", game), 0.8)
    np.testing.assert_array_equal(played.coefficients, np.float32(solve_infinite_horizon(game)))


@pytest.mark.parametrize(
    "closed_form",
    [
        mesa_env.solve_equilibrium,
        lambda game: mesa_env.exploitability(game, np.ones(game.episodes)),
        lambda game: mesa_env.nash_conv(game, np.ones(game.episodes)),
        lambda game: mesa_env.relative_exploitability(game, np.ones(game.episodes)),
        lambda game: mesa_env.best_response(game, np.ones(game.episodes), 0),
        lambda game: mesa_env.unit_sums(game, np.ones(game.episodes)),
    ],
)
def test_closed_forms_of_the_base_game_refuse_it_and_name_its_oracle(closed_form):
    message = (
        "this closed form holds for the base game, mesa_env.Game, alone; "
        "got InfiniteHorizon, which mesa_env.oracle solves"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        closed_form(InfiniteHorizon())


@pytest.mark.parametrize(
    ("rates", "discount", "reason"),
    [
        ([1.0, 0.0], 0.99999, r"; what comes later still has 7\.\d+e-10 of all weight"),
        ([1.0], 1 - 1e-9, r"; what comes later still has 0\.997905 of all weight"),
        ([1.0], float(np.nextafter(1, 0)), "; what comes later still has 1 of all weight"),
    ],
)
def test_discounts_too_close_to_1_are_refused_with_every_digit_and_the_reason(rates, discount, reason):
    message = f"with discount {discount!r} and regularization 0.0 they still change by .*{reason}$"
    with pytest.raises(ValueError, match=message):
        solve_infinite_horizon(InfiniteHorizon(rates, discount))


def test_coefficients_that_never_settle_are_not_blamed_on_the_discount():
    with pytest.raises(ValueError, match=r"with discount 0\.99 and .* 1\.0 they still change by 0\.0\d+$"):
        solve_infinite_horizon(InfiniteHorizon([1.0], 0.99, 1.0))
