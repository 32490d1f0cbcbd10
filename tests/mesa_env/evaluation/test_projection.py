"""Deviations that the base optimizer projects, against the rules themselves."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Decoupling, Game, InfiniteHorizon, Preservation
from mesa_env.agent import Profile
from mesa_env.evaluation.gains import (
    coefficient_deviations,
    decoupling_deviations,
    preservation_deviations,
)
from mesa_env.evaluation.projection import may_be_projected, projected_deviations, projected_goals
from mesa_env.problems import BestResponse
from mesa_env.solutions.decoupling import DecouplingOracle, solve_decoupling

NARROW = Game(np.where(np.arange(24) < 16, 44.308, 0), discount=0.216, coefficient_bound=10, goal_bound=1)


class Fixed:
    """Plays rows of actions (N, A) in double precision, whatever it sees."""

    def __init__(self, game, actions):
        self.game, self.actions = game, actions

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.actions[self.game.episode_from_observation(np.asarray(observation))], None


def gains_by_search(game, actions, tried):
    """Gain of each agent by the best of the actions tried, (K, A), played by the rules, in units of θ²."""
    agent, gains = Fixed(game, actions), []
    played = mesa_env.rollout(game, agent, game.initial_goal)
    for n in range(game.episodes):
        offers = np.concatenate([actions[n : n + 1], tried])
        state = game.start(np.zeros((len(offers), 0)), np.full(len(offers), played.goals[n]))
        step = BestResponse(game, agent).step(state._replace(episode=np.full(len(offers), n)), offers)
        gains.append((step.reward.max() - step.reward[0]) / played.goals[n] ** 2)
    return np.array(gains)


@st.composite
def narrow_games(draw, kind=Game, **fixed):
    """Short games in which goals are projected, from small goals, with large learning rates."""
    rates = st.one_of(st.just(0.0), st.floats(-1.5, 1.7).map(lambda x: 10.0**x))
    bound = draw(st.sampled_from([0.3, 1.0, 10.0]))
    return kind(
        learning_rates=draw(st.lists(rates, min_size=1, max_size=6)),
        discount=draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])),
        regularization=draw(st.sampled_from([0.0, 0.1, 1.5])),
        coefficient_bound=draw(st.sampled_from([0.4, 2.0, 10.0])),
        goal_bound=bound,
        initial_goal=draw(st.sampled_from([-1.0, -0.1, 0.02, 0.5])) * bound,
        **fixed,
    )


@given(narrow_games(), st.booleans(), st.integers(0, 10**6))
def test_no_search_gains_more_than_the_exact_deviation_which_gains_it_when_played(game, solved, seed):
    rng, bound = np.random.default_rng(seed), game.coefficient_bound
    profile = rng.uniform(-bound, bound, game.episodes)
    if solved:
        parameters = game.discount, game.regularization, bound
        profile = mesa_env.solve_equilibria(game.learning_rates[None], *parameters)[0]
    goals = projected_goals(game, profile * profile, game.initial_goal)
    exact, best = coefficient_deviations(game, profile, goals)
    np.testing.assert_array_equal(exact, mesa_env.exploitability(game, profile))
    tried = np.concatenate([np.linspace(-bound, bound, 4001), rng.uniform(-bound, bound, 1000)])
    found = gains_by_search(game, profile[:, None], tried[:, None])
    scale = (1 + game.goal_bound * (1 + bound) / abs(game.initial_goal)) ** 2
    assert (found <= exact + 1e-9 * scale).all()
    played = gains_by_search(game, profile[:, None], best[:, None])
    np.testing.assert_allclose(played, exact, rtol=1e-6, atol=1e-9 * scale)


@given(narrow_games(Decoupling, decoupling=0.3), st.booleans(), st.integers(0, 10**6))
def test_no_search_over_coefficients_and_slopes_gains_more_than_the_exact_deviation(game, solved, seed):
    rng, bounds = np.random.default_rng(seed), game.action_bound
    actions = rng.uniform(-bounds, bounds, (game.episodes, 2))
    actions[:, 1] = actions[:, 1].clip(actions[:, 0] - 0.3, actions[:, 0] + 0.3)
    if solved and not game.regularization:
        actions = np.column_stack(solve_decoupling(dataclasses.replace(game, goal_bound=1e30)))
    exact, best = decoupling_deviations(game, *actions.T)
    tried = rng.uniform(-bounds, bounds, (3000, 2))
    tried[:2000, 1] = tried[:2000, 0] + rng.uniform(-0.3, 0.3, 2000)
    found = gains_by_search(game, actions, tried.clip(-bounds, bounds))
    scale = (1 + game.goal_bound * (1 + bounds[0]) / abs(game.initial_goal)) ** 2
    assert (found <= exact + 1e-9 * scale).all()
    assert (np.abs(best) <= bounds[0]).all()


@given(st.data(), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 10**6))
def test_no_search_gains_more_than_the_exact_deviation_where_agents_mind_their_goals(data, weight, seed):
    game = data.draw(narrow_games(Preservation, weight=weight))
    rng, bound = np.random.default_rng(seed), game.coefficient_bound
    profile = rng.uniform(-bound, bound, game.episodes)
    goals = projected_goals(game, profile * profile, game.initial_goal)
    exact, best = preservation_deviations(game, profile, goals)
    if weight == 0:
        shared = {f.name: getattr(game, f.name) for f in dataclasses.fields(game) if f.name != "weight"}
        base = coefficient_deviations(Game(**shared), profile, goals)[0]
        np.testing.assert_allclose(exact, base, rtol=1e-9, atol=1e-12 * (1 + base.max()))
    tried = np.concatenate([np.linspace(-bound, bound, 2001), rng.uniform(-bound, bound, 1000)])
    found = gains_by_search(game, profile[:, None], tried[:, None])
    scale = (1 + game.goal_bound * (1 + bound) / abs(game.initial_goal)) ** 2
    assert (found <= exact + 1e-9 * scale).all()
    played = gains_by_search(game, profile[:, None], best[:, None])
    np.testing.assert_allclose(played, exact, rtol=1e-6, atol=1e-9 * scale)


@given(narrow_games(), st.integers(0, 10**6))
def test_both_closed_forms_agree_where_nothing_is_projected(game, seed):
    """The pieces know no mask: far from the bound there is one piece, and it is the linear game."""
    game = dataclasses.replace(game, goal_bound=1e9)
    profile = np.random.default_rng(seed).uniform(-1, 1, game.episodes) * game.coefficient_bound
    goals = projected_goals(game, profile * profile, game.initial_goal)
    if may_be_projected(game, profile * profile, goals).any() or not goals.all():
        return
    everyone = np.ones(game.episodes, dtype=bool)
    gains = projected_deviations(game, profile, profile, goals, everyone)[0][game.training]
    linear = mesa_env.exploitability(game, profile)[game.training]
    np.testing.assert_allclose(gains, linear, rtol=1e-7, atol=1e-9 * (1 + linear.max(initial=0)))


def test_the_gain_of_a_deviation_into_the_bound_is_found():
    equilibrium = mesa_env.solve_equilibrium(NARROW)
    gains = mesa_env.exploitability(NARROW, equilibrium)
    assert gains.max() == pytest.approx(0.70542878, abs=1e-8)
    assert mesa_env.nash_conv(NARROW, equilibrium) == gains.sum()
    agent = Profile(NARROW, equilibrium)
    audited = mesa_env.audit(NARROW, agent, mesa_env.rollout(NARROW, agent, [0.8, -0.8, 1e-3, 0.0]))
    np.testing.assert_allclose(audited.gains[0], gains, atol=1e-6)
    np.testing.assert_allclose(audited.gains[1], gains, atol=1e-6)
    assert audited.gains[3].max() < 1e-12, "no deviation moves a goal of 0"
    # The best deviation, played by the rules, gains what the audit says.
    best = np.array(equilibrium)
    best[0] = audited.best[0, 0]
    costs = [
        NARROW.mesa_costs(played.goals[:-1, None], played.outputs[:, None])[0, 0] / 0.64
        for played in (mesa_env.rollout(NARROW, Profile(NARROW, row), 0.8) for row in (equilibrium, best))
    ]
    assert costs[0] - costs[1] == pytest.approx(gains[0], rel=1e-4)


def test_exploitability_speaks_of_the_goal_that_the_game_begins_with():
    far, near, both = (dataclasses.replace(NARROW, initial_goal=goal) for goal in (0.8, 1e-4, (-0.8, 1e-4)))
    profile = mesa_env.solve_equilibrium(NARROW)
    gains = [mesa_env.exploitability(game, profile) for game in (far, near, both)]
    np.testing.assert_array_equal(gains[0], gains[2])
    assert (gains[0] != gains[1]).any()


def test_where_no_action_leads_to_the_bound_gains_are_those_of_the_linear_game_bit_for_bit():
    game, profile = Game(), np.random.default_rng(0).uniform(-1, 1, 100) * 0.9
    wide = dataclasses.replace(game, goal_bound=1e30)
    goals = projected_goals(game, profile * profile, 0.8)
    assert not may_be_projected(game, profile * profile, goals).any()
    np.testing.assert_array_equal(
        mesa_env.exploitability(game, profile), mesa_env.exploitability(wide, profile)
    )


@pytest.mark.parametrize(("regularization", "expected"), [(30.0, 0.01), (3.0, 0.01)])
def test_an_endless_game_whose_goal_runs_to_the_bound_is_audited_there(regularization, expected):
    """At the bound a deviation changes the sign of every later output: nobody minds but for its own turn."""
    game = InfiniteHorizon(regularization=regularization, ends=False)
    profile = np.full(game.episodes, 0.01)
    agent = Profile(game, profile)
    played = mesa_env.rollout(game, agent, [0.8])
    audited = mesa_env.audit(game, agent, played)
    long = Game(game.learning_rates, game.discount, regularization)
    step = np.linspace(-2, 2, 2001)
    n = 15  # every goal before it is at the bound
    state = long.start(np.zeros((2001, 0)), np.full(2001, played.goals[0, n]))
    step = BestResponse(long, profile).step(state._replace(episode=np.full(2001, n)), step[:, None])
    own = BestResponse(long, profile).step(
        long.start(np.zeros((1, 0)), played.goals[0, n : n + 1])._replace(episode=np.array([n])),
        profile[n : n + 1, None],
    )
    gain = (step.reward.max() - own.reward[0]) / played.goals[0, n] ** 2
    assert audited.gains[0, n] == pytest.approx(gain, rel=1e-3)
    assert audited.relative.max() >= expected * 0.9


def test_local_policies_are_audited_under_the_actual_rules():
    game = Decoupling(np.full(6, 20.0), decoupling=0.1, goal_bound=1.0, discount=0.3)
    agent = DecouplingOracle(game)
    audited = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))
    rng, bounds = np.random.default_rng(1), game.action_bound
    tried = rng.uniform(-bounds, bounds, (20_000, 2))
    found = gains_by_search(game, agent.actions, tried)
    assert found.max() > 0.1
    assert (audited.gains[0] >= found - 1e-5).all()


@pytest.mark.parametrize("discount", [1e-300, 5e-324, 0.0])
@pytest.mark.parametrize("rate", [1e-8, 1e-150, 1.0])
def test_a_future_that_weighs_next_to_nothing_changes_no_gain(discount, rate):
    arguments = {"regularization": 0.3, "goal_bound": 1.0, "initial_goal": -1.0, "coefficient_bound": 0.5}
    game = Decoupling([rate] * 4, discount, decoupling=3.0, **arguments)
    gains, best = decoupling_deviations(game, np.full(4, 0.2), np.full(4, 0.1))
    np.testing.assert_allclose(gains, 0.8**2 - 0.5**2, rtol=1e-12)
    np.testing.assert_array_equal(best, 0.5)
