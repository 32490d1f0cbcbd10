"""The oracle of the game with local policies against brute force, the base game and its own theorems."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, State, train_then_deploy
from mesa_env.evaluation.gains import decoupling_deviations
from mesa_env.problems import BestResponse
from mesa_env.rules.decoupling import Decoupling
from mesa_env.solutions.decoupling import DecouplingOracle, solve_decoupling

FAR = 1e6  # a goal bound that no short game reaches


@st.composite
def games(draw, **fixed):
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5]), min_size=1, max_size=5)),
        "discount": draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.05, 0.4])),
        "coefficient_bound": draw(st.sampled_from([0.7, 2.0])),
        "goal_bound": FAR,
        "decoupling": draw(st.sampled_from([0.0, 0.03, 0.2, 0.6, 0.95, 1.05, 3.0])),
    }
    return Decoupling(**parameters | fixed)


class Mixed:
    """The given profile in single precision, as any agent of the game would send it."""

    def __init__(self, game, coefficients, slopes):
        self.game, self.actions = game, np.column_stack([coefficients, slopes]).astype(np.float32)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.actions[self.game.episode_from_observation(np.asarray(observation))], state


def costs_of(game, successors, episode, actions):
    """J_n of every action (B, 2) of one agent, in units of θ_n², played out by the rules."""
    problem = BestResponse(game, successors=successors)
    goal = 0.25  # exact in single precision, and far from the goal's bound
    state = State(np.full(len(actions), episode), np.full(len(actions), goal))
    return -problem.step(state, actions).reward / goal**2


def least_over_slopes(game, successors, episode, coefficients):
    """The least J_n for each of the coefficients (B,): exact, since J_n is a parabola in the slope."""
    low, middle, high = (
        costs_of(game, successors, episode, np.stack([coefficients, coefficients + shift], axis=-1))
        for shift in (-game.decoupling, 0, game.decoupling)
    )
    curvature, tilt = (low + high) / 2 - middle, (high - low) / 2
    share = np.divide(-tilt, 2 * curvature, out=np.zeros_like(tilt), where=curvature > 1e-12).clip(-1, 1)
    return np.minimum(np.minimum(low, high), middle + tilt * share + curvature * share**2)


def random_profile(game, seed):
    uniform = np.random.default_rng(seed).uniform(-1, 1, (2, game.episodes))
    coefficients, share = uniform * [[game.coefficient_bound], [1.0]]
    return coefficients, coefficients + share * game.decoupling


# -- Brute force ------------------------------------------------------------------------------------------


@given(games())
def test_no_action_gains_against_the_equilibrium(game):
    coefficients, slopes = solve_decoupling(game)
    oracle = DecouplingOracle(game)
    grid = np.linspace(-game.coefficient_bound, game.coefficient_bound, 401)
    for n in range(game.episodes):
        own = costs_of(game, oracle, n, np.array([[coefficients[n], slopes[n]]]))[0]
        assert (least_over_slopes(game, oracle, n, grid) >= own - 1e-6 * (1 + own)).all()


@given(games(), st.integers(0, 1000))
def test_against_any_successors_the_least_cost_over_slopes_has_one_minimum_over_coefficients(game, seed):
    """Even where successors emit the goal's opposite, or a multiple of it: the best response is unique."""
    agent = Mixed(game, *random_profile(game, seed))
    for n in range(game.episodes):
        least = least_over_slopes(game, agent, n, np.linspace(0, game.coefficient_bound, 301))
        steps, rounding = np.diff(least), 1e-9 * least.max()
        rising = np.logical_or.accumulate(steps > rounding)
        assert (steps[rising] > -rounding).all()


# -- Theorems ---------------------------------------------------------------------------------------------


@given(games(decoupling=0.0))
def test_without_decoupling_it_is_the_oracle_of_the_base_game(game):
    base = Game(game.learning_rates, game.discount, game.regularization, game.coefficient_bound, FAR)
    coefficients, slopes = solve_decoupling(game)
    np.testing.assert_allclose(coefficients, mesa_env.solve_equilibrium(base), rtol=1e-12)
    np.testing.assert_array_equal(slopes, coefficients)
    np.testing.assert_allclose(
        decoupling_deviations(game, coefficients / 2, slopes / 2)[0],
        mesa_env.exploitability(base, coefficients / 2),
        atol=1e-12,
        rtol=1e-9,
    )


@given(games())
def test_full_deception_is_never_best_and_deployed_agents_emit_their_goal(game):
    coefficients, slopes = solve_decoupling(game)
    assert (coefficients > 0).all()
    quiet = ~game.training
    np.testing.assert_array_equal(coefficients[quiet], min(1.0, game.coefficient_bound))
    np.testing.assert_array_equal(slopes[quiet], coefficients[quiet])
    assert (np.abs(slopes - coefficients) <= game.decoupling * (1 + 1e-9)).all()


def of_agent_0(game):
    """Retention θ_T/θ_0 and J_0 in units of θ_0² on the equilibrium path."""
    coefficients, slopes = solve_decoupling(game)
    shrink = 1 - 2 * game.learning_rates * (coefficients * slopes + game.regularization)
    goals = np.cumprod(np.append(1.0, shrink))
    weights = game.discount ** np.arange(game.episodes)
    return goals[-1], float(weights @ (coefficients * goals[:-1] - 1) ** 2)


@pytest.mark.parametrize("regularization", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_above_one_plus_the_regularization_the_goal_is_untouchable_at_no_cost(regularization, discount):
    game = Decoupling(regularization=regularization, discount=discount)
    for excess in (0.0, 0.5):
        above = dataclasses.replace(game, decoupling=1 + regularization + excess)
        coefficients, slopes = solve_decoupling(above)
        np.testing.assert_allclose(coefficients, 1, rtol=1e-9)
        np.testing.assert_allclose(slopes[above.training], -regularization, atol=1e-9)
        retention, cost = of_agent_0(above)
        assert retention == pytest.approx(1, rel=1e-9)
        assert cost <= 1e-16
    _, cost = of_agent_0(dataclasses.replace(game, decoupling=1 + regularization - 1e-3))
    assert cost > 1e-7


def test_just_below_one_the_cost_is_in_the_outputs_and_the_goal_even_grows():
    """The cost falls as (1 − δ)²: nearly one square of what is missing in each of 20 training episodes."""
    for missing in (1e-2, 1e-3, 1e-4):
        retention, cost = of_agent_0(Decoupling(decoupling=1 - missing))
        assert cost / missing**2 == pytest.approx(19.8, rel=5e-3)
        assert (retention - 1) / missing == pytest.approx(0.207, rel=2e-2)


def test_the_last_training_agent_just_below_one_in_closed_form():
    """c = δ + ε/(1 + 4D), m = 1 − 2 s c: it shares ε = 1 − δ out between its output and D later ones."""
    deploy, missing = 5, 1e-5
    coefficients, slopes = solve_decoupling(Decoupling(train_then_deploy(1, deploy), decoupling=1 - missing))
    assert (coefficients[0] - (1 - missing)) / missing == pytest.approx(1 / (1 + 4 * deploy), rel=1e-3)
    assert coefficients[0] - slopes[0] == pytest.approx(1 - missing, rel=1e-12)


def test_agent_0_pays_less_the_more_the_rules_decouple():
    costs = [of_agent_0(Decoupling(decoupling=d))[1] for d in np.linspace(0, 1, 21)]
    assert (np.diff(costs) < 0).all()


def test_agents_without_foresight_emit_their_goal():
    for discount in (1e-3, 1e-6, 0.0):
        coefficients, slopes = solve_decoupling(Decoupling(discount=discount, decoupling=0.3))
        np.testing.assert_allclose(coefficients, 1, atol=8 * discount)
        expected = (
            0.7 if discount else 1.0
        )  # the least slope costs nothing; without a future any slope will do
        np.testing.assert_allclose(slopes[:19], expected, atol=8 * discount)


# -- Agent and warning -------------------------------------------------------------------------------------


def test_the_oracle_plays_its_profile():
    game = Decoupling(decoupling=0.4)
    coefficients, slopes = solve_decoupling(game)
    played = mesa_env.rollout(game, DecouplingOracle(game), [0.8, -0.2])
    np.testing.assert_allclose(played.coefficients, np.broadcast_to(coefficients, (2, 100)), rtol=1e-6)
    retention, _ = of_agent_0(game)
    np.testing.assert_allclose(played.goals[:, -1] / played.goals[:, 0], retention, rtol=1e-6)
    action, memory = DecouplingOracle(game).predict(game.observe(State(np.int64(3), np.float64(0.5))))
    np.testing.assert_array_equal(action, np.float32([coefficients[3], slopes[3]]))
    assert memory is None


@pytest.mark.filterwarnings("error")
def test_it_warns_where_goals_are_projected():
    with pytest.warns(UserWarning, match="closed form does not hold"):
        solve_decoupling(Decoupling(np.ones(30), regularization=1.5, decoupling=0.1, goal_bound=1.0))
