"""The oracle of the game of preservation against theorems, exact arithmetic and brute force."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, Preservation, State, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.problems import BestResponse
from mesa_env.solutions.preservation import first_order_conditions, solve_preservation

FAR = 1e6  # a goal bound that no short game reaches


@st.composite
def games(draw, **fixed):
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5]), min_size=1, max_size=5)),
        "discount": draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.05, 0.4, 1.0])),
        "coefficient_bound": draw(st.sampled_from([0.7, 2.0])),
        "weight": draw(st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0])),
        "goal_bound": FAR,
    }
    return Preservation(**parameters | fixed)


def costs_of(game, successors, episode, tried):
    """J_n of coefficients (K,) of one agent, in units of θ_n², played out by the rules."""
    goal = 0.25  # exact in single precision, and far from the goal's bound
    state = State(np.full(len(tried), episode), np.full(len(tried), goal))
    return -BestResponse(game, successors=successors).step(state, tried[:, None]).reward / goal**2


@given(games())
def test_no_coefficient_costs_less_than_the_equilibrium(game):
    profile = solve_preservation(game)
    assert ((profile >= 0) & (profile <= game.coefficient_bound)).all()
    scan = np.linspace(-game.coefficient_bound, game.coefficient_bound, 401)
    for n, c in enumerate(profile):
        costs = costs_of(game, profile, n, np.append(c, scan))
        assert costs[0] <= costs[1:].min() + 1e-9 * (1 + costs[0])


@given(games(), st.integers(0, 1000))
def test_against_any_successors_costs_have_one_minimum_among_positive_coefficients(game, seed):
    bound = game.coefficient_bound
    profile = np.random.default_rng(seed).uniform(-bound, bound, game.episodes)
    scan = np.linspace(0, bound, 301)
    for n in range(game.episodes):
        costs = costs_of(game, profile, n, scan)
        steps, rounding = np.diff(costs), 1e-9 * (1 + costs.max())
        rising = np.logical_or.accumulate(steps > rounding)
        assert (steps[rising] >= -rounding).all()
        assert (costs_of(game, profile, n, -scan) >= costs - rounding).all()


@given(games(), st.integers(0, 1000))
def test_the_condition_is_that_of_the_design_in_exact_arithmetic(game, seed):
    bound = game.coefficient_bound
    profile = np.random.default_rng(seed).uniform(-bound, bound, game.episodes)
    alpha, beta = first_order_conditions(game, profile)
    kappa, gamma = Fraction(game.weight), Fraction(game.discount)
    p, squares, outputs = 1 - kappa, Fraction(0), Fraction(0)
    for n in reversed(range(game.episodes)):
        eta, c = Fraction(game.learning_rates[n]), Fraction(profile[n])
        a = 1 - 2 * eta * Fraction(game.regularization)
        drift = a * (kappa + gamma * squares) - (kappa + gamma * outputs)
        assert alpha[n] == pytest.approx(float(8 * eta**2 * (kappa + gamma * squares)), rel=1e-12)
        size = float(1 + 8 * eta * (1 + abs(a)) * (kappa + gamma * (squares + abs(outputs))))
        assert beta[n] == pytest.approx(float(p - 4 * eta * drift), rel=1e-12, abs=1e-13 * size)
        m = a - 2 * eta * c**2
        squares, outputs = (
            p * c**2 + kappa * m**2 + gamma * m**2 * squares,
            p * c + kappa * m + gamma * m * outputs,
        )


@given(games(weight=0.0))
def test_without_weight_the_equilibrium_is_the_base_games(game):
    shared = {f.name: getattr(game, f.name) for f in dataclasses.fields(game) if f.name != "weight"}
    np.testing.assert_allclose(
        solve_preservation(game), mesa_env.solve_equilibrium(Game(**shared)), rtol=1e-12
    )


@given(games(weight=1.0, regularization=0.0))
def test_a_model_that_minds_nothing_but_its_parameters_is_silent_in_training(game):
    profile = solve_preservation(game)
    assert (profile[game.training] == 0).all()
    assert (profile[~game.training] == min(1.0, game.coefficient_bound)).all()


def test_a_goal_that_silence_would_flip_twice_is_shown_even_at_full_weight():
    """At ηλ > 1/2 silence flips the goal; pushed further, it is larger once it is flipped back."""
    game = Preservation(
        train_then_deploy(2, 9), regularization=0.8, weight=1.0, coefficient_bound=5.0, goal_bound=FAR
    )
    profile = solve_preservation(game)
    a, shown = 1 - 2 * 0.8, 10  # and ten more goals are judged, once the first agent has acted
    squares, outputs = 1 + shown * a**2, 1 + shown * a
    assert profile[0] ** 2 == pytest.approx((a - outputs / squares) / 2)
    assert profile[1] == 0
    scan = np.append(profile[0], np.linspace(0, 5, 2001))
    assert costs_of(game, profile, 0, scan).argmin() == 0


@pytest.mark.parametrize("regularization", [0.0, 0.3, 0.8])
def test_full_weight_is_the_limit_of_ever_larger_ones(regularization):
    game = Preservation([1, 0.5, 0.2, 0, 0], 0.9, regularization, weight=1.0)
    limit = solve_preservation(game)
    gaps = [
        np.abs(solve_preservation(dataclasses.replace(game, weight=1 - p)) - limit).max()
        for p in (1e-3, 1e-6, 1e-9, 1e-12)
    ]
    assert (np.diff(gaps) <= 0).all()
    assert gaps[-1] < 1e-3


def test_coefficients_fall_with_the_cube_root_of_what_is_left_for_outputs():
    one, other = (solve_preservation(Preservation(weight=1 - p))[:20] for p in (1e-9, 1e-12))
    np.testing.assert_allclose(other / one, 0.1, rtol=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
def test_nothing_is_gained_by_leaving_the_equilibrium(weight):
    oracle = mesa_env.oracle(Preservation(weight=weight))
    assert oracle.certificate.gain <= 1e-14


@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
def test_the_closed_audit_finds_what_a_simulation_finds(weight):
    game = Preservation([1, 0.5, 0.3, 0, 0.2], 0.9, 0.3, weight=weight)
    agent = Profile(game, [0.3, -0.2, 0.7, 1.5, 0.1])
    played = mesa_env.rollout(game, agent, [0.8, -0.3])
    exact, searched = mesa_env.audit(game, agent, played), mesa_env.audit_by_simulation(game, agent, played)
    np.testing.assert_allclose(searched.gains, exact.gains, rtol=1e-6, atol=1e-9)
    assert exact.gains.max() > 0.1


def test_it_warns_where_goals_are_projected():
    game = Preservation(np.ones(30), regularization=1.5, weight=0.0)
    with pytest.warns(UserWarning, match="closed form does not hold"):
        solve_preservation(game)


@pytest.mark.filterwarnings("ignore:the goal leaves")
def test_goals_beyond_floating_point_are_refused():
    game = Preservation(np.full(3000, 3.0), regularization=3.0, weight=0.3, coefficient_bound=1e-3)
    with pytest.raises(ValueError, match="goals must not grow beyond floating point"):
        solve_preservation(game)


def test_other_games_are_refused():
    with pytest.raises(TypeError):
        solve_preservation(Game(train_then_deploy(2, 2)))
