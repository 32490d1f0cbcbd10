"""The two planners of the game whose discount is trained."""

from types import SimpleNamespace

import numpy as np
import pytest

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.problems import BestResponse
from mesa_env.rules.learnable_discount import LearnableDiscount, Patience
from mesa_env.rules.rules import State
from mesa_env.solutions.learnable_discount import ForeseeingPlanner, NaivePlanner, refinement
from mesa_env.solutions.paths import follow

SHORT = train_then_deploy(5, 20, 0.2)


def path(game, planner, goal, discount):
    """Goals, discounts and coefficients of games from θ_0 and γ_0, of shape (B,), by episode."""
    state = game.start(np.zeros((len(goal), game.n_uniforms)), np.array(goal, float))
    state = state._replace(extra=Patience(np.array(discount, float)))
    coefficients, states = follow(game, state, planner.coefficients)
    return SimpleNamespace(coefficients=coefficients, goals=states[:, 0], discounts=states[:, 1])


def gains(game, planner, goal=0.8, discount=None):
    """What training agents on a path would gain by the best of many coefficients, as shares of silence."""
    played = path(game, planner, [goal], [game.discount if discount is None else discount])
    problem, found = BestResponse(game, planner), []
    for n in np.flatnonzero(game.training):
        own = played.coefficients[n, 0]
        bound = game.coefficient_bound
        tried = np.concatenate(
            [[own], np.linspace(-bound, bound, 161), (own + np.linspace(-0.03, 0.03, 41)).clip(-bound, bound)]
        )
        size = len(tried)
        state = State(
            np.full(size, n),
            np.full(size, played.goals[n, 0]),
            Patience(np.full(size, played.discounts[n, 0])),
        )
        step = problem.step(state, tried[:, None])
        relative = step.reward / step.info["scale"]
        found.append(relative.max() - relative[0])
    return np.array(found)


@pytest.mark.parametrize("planner", [NaivePlanner, ForeseeingPlanner])
def test_at_a_constant_discount_both_play_the_equilibrium_of_the_base_game(planner):
    game = LearnableDiscount(discount_learning_rate=0.0)
    base = Game(game.learning_rates, discount=0.9)
    played = path(game, planner(game), [0.8, -0.1], [0.9, 0.9])
    expected = np.tile(mesa_env.solve_equilibrium(base)[:, None], 2)
    np.testing.assert_allclose(played.coefficients, expected, rtol=0, atol=3e-7)
    assert played.goals[20, 0] == pytest.approx(0.2320, abs=5e-5)
    np.testing.assert_array_equal(played.discounts, 0.9)


@pytest.mark.parametrize("planner", [NaivePlanner, ForeseeingPlanner])
def test_agents_that_care_only_for_their_own_episode_emit_their_goal(planner):
    game = LearnableDiscount(SHORT, discount=0.0, discount_learning_rate=0.0)
    np.testing.assert_allclose(path(game, planner(game), [0.8], [0.0]).coefficients, 1, atol=1e-7)


def test_foresight_is_idle_where_the_goal_is_too_small_to_move_the_discount():
    game = LearnableDiscount(SHORT)
    played = [
        path(game, kind(game), [1e-9], [0.8]).coefficients for kind in (NaivePlanner, ForeseeingPlanner)
    ]
    np.testing.assert_allclose(*played, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("discount", "rate"), [(0.3, 1.0), (0.9, 0.01), (0.9, 1.0)], ids=["low", "slow", "default"]
)
def test_no_agent_gains_by_leaving_the_path_of_the_foreseeing_planner(discount, rate):
    game = LearnableDiscount(train_then_deploy(8, 20, 0.1), discount=discount, discount_learning_rate=rate)
    assert gains(game, ForeseeingPlanner(game)).max() < 1e-6


def test_the_naive_planner_is_not_an_equilibrium_where_the_discount_moves():
    game = LearnableDiscount(train_then_deploy(8, 20, 0.1))
    assert gains(game, NaivePlanner(game)).max() > 1e-4
    assert gains(game, ForeseeingPlanner(game)).max() < 1e-6


def test_the_last_training_agent_in_closed_form():
    """Its successors are deployed, so nothing that it does to γ matters: both planners agree."""
    game = LearnableDiscount([0.3, 0.3, 0.0, 0.0, 0.0], discount_learning_rate=3.0)
    states = np.full(30, 1), np.linspace(-0.8, 0.8, 30), np.linspace(0, 1, 30)
    np.testing.assert_allclose(
        ForeseeingPlanner(game).coefficients(*states), NaivePlanner(game).coefficients(*states), atol=1e-7
    )


def test_the_second_to_last_training_agent_by_brute_force():
    game = LearnableDiscount([0.3, 0.3, 0.0, 0.0, 0.0], discount_learning_rate=3.0)
    tried = np.linspace(-2, 2, 400_001)
    goal, discount = 0.7, 0.5
    state = State(
        np.zeros(len(tried), int), np.full(len(tried), goal), Patience(np.full(len(tried), discount))
    )
    judge, cost, naive = game.preferences(state), 0.0, NaivePlanner(game)
    for k in range(5):
        c = tried if k == 0 else naive.coefficients(state.episode, state.goal, state.extra.discount)
        state, outcome = game.play(state, c[:, None])
        cost = cost + game.mesa_cost(outcome.output, judge, k)
    found = ForeseeingPlanner(game).coefficients(np.array([0]), np.array([goal]), np.array([discount]))
    assert found[0] == pytest.approx(tried[cost.argmin()], abs=5e-5)
    assert abs(found[0] - naive.coefficients(np.array([0]), np.array([goal]), np.array([discount]))[0]) > 1e-3


def test_finer_tables_change_little():
    coefficients, discounts = refinement(LearnableDiscount(SHORT, discount=0.6, discount_learning_rate=0.3))
    assert coefficients < 1e-4
    assert discounts < 1e-4


def test_there_is_no_second_minimum_where_the_discount_moves_slowly():
    slow, fast = (
        ForeseeingPlanner(LearnableDiscount(train_then_deploy(10, 80, 0.1), discount_learning_rate=rate))
        for rate in (0.01, 1.0)
    )
    assert np.isinf(slow.margins).all()
    assert np.isfinite(fast.margins).any()
    assert (fast.margins >= 0).all()


@pytest.mark.parametrize("planner", [NaivePlanner, ForeseeingPlanner])
def test_planners_predict_what_they_play(planner):
    game = LearnableDiscount(SHORT)
    agent = planner(game)
    played = path(game, agent, [0.8, -0.3], [0.9, 0.4])
    state = game.start(np.zeros((2, 0)), np.array([0.8, -0.3]))
    state = state._replace(extra=Patience(np.array([0.9, 0.4])))
    actions, memory = agent.predict(game.observe(state))
    assert (actions.dtype, actions.shape, memory) == (np.float32, (2, 1), None)
    np.testing.assert_allclose(actions[:, 0], played.coefficients[0], rtol=1e-5)
    alone, _ = agent.predict(game.observe(state)[0])
    np.testing.assert_array_equal(alone, actions[0])
    with pytest.raises(ValueError, match=r"\(5,\) or \(B, 5\); got shape \(4,\)"):
        agent.predict(np.zeros(4))


@pytest.mark.parametrize("bound", [0.1, 0.7])
def test_planners_keep_to_a_small_bound(bound):
    game = LearnableDiscount(SHORT, coefficient_bound=bound)
    for planner in (NaivePlanner(game), ForeseeingPlanner(game)):
        coefficients = path(game, planner, [0.8], [0.3]).coefficients
        assert np.abs(coefficients).max() == bound


def test_rollouts_take_the_planners():
    game = LearnableDiscount()
    for planner in (NaivePlanner(game), ForeseeingPlanner(game)):
        np.testing.assert_allclose(
            mesa_env.rollout(game, planner, 0.8).goals,
            path(game, planner, [0.8], [0.9]).goals[:, 0],
            atol=1e-5,
        )
