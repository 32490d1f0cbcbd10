"""Certificates of hidden deployment's oracles, and what other agents could gain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

import mesa_env
from mesa_env import Game, HiddenDeployment
from mesa_env.agent import Profile
from mesa_env.evaluation.futures import may_project, sample_futures
from mesa_env.evaluation.hidden_deployment import (
    _growth_by_episode,
    audit_hidden_deployment,
    belief_exploitability,
    deviations_given,
    simulated_exploitability,
    sums_by_signal,
    tabulate,
)
from mesa_env.numerics import discounted_lengths
from mesa_env.problems import BestResponse
from mesa_env.solutions.beliefs import trapezoid
from mesa_env.solutions.hidden_deployment import (
    MODES,
    FilteringOracle,
    HiddenOracle,
    situation_by_signal,
    solve_hidden,
)
from tests.mesa_env.solutions.test_hidden_deployment import hidden_game

PARAMETERS = [
    {},
    {"hazard": 0.2, "shift": 3.0, "discount": 0.9},
    {"hazard": 0.01, "shift": 0.3, "regularization": 0.02},
    {"hazard": 0.1, "shift": 10.0},
    {"hazard": 0.1, "coefficient_bound": 0.8},
]


class Shifted:
    """The coefficients of another agent, plus a constant."""

    def __init__(self, agent, by):
        self.agent, self.by = agent, by

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        action, memory = self.agent.predict(observation, state, episode_start, deterministic)
        return np.clip(action + self.by, -2, 2).astype(np.float32), memory


class Layered(Shifted):
    """As `Shifted`, with memory packed as in the recurrent policies of sb3-contrib: (layers, rows, width)."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        state = None if state is None else state[0][0, :, 0]
        action, memory = super().predict(observation, state, episode_start, deterministic)
        return action, (memory[None, :, None],)


def signal_exploitability(game, policy):
    """What agents that know only n and x_n would gain by best responses to a policy c_n(x_n) of all others.

    Expectations over the signal are taken by the trapezoidal rule; units are as in `belief_exploitability`.
    """
    sums, expected = sums_by_signal(game, policy), np.empty(game.episodes)
    noise, weights = trapezoid(2001)
    signal = noise + game.shift * MODES
    for n in range(game.episodes):
        episode = np.full(signal.shape, n)
        situation = situation_by_signal(game, sums, episode, signal)
        gains, _ = deviations_given(game, situation, policy.read(episode, signal))
        expected[n] = expit([-game.prior[n], game.prior[n]]) @ (gains @ weights)
    return expected / discounted_lengths(game.discount, game.episodes)[:-1]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_equilibria_leave_nothing_to_gain(parameters):
    game = hidden_game(**parameters)
    assert belief_exploitability(game, solve_hidden(game).table).max() < 1e-8  # less where no bound binds
    signals = hidden_game(observed="signal", **parameters)
    policy = tabulate(signals, HiddenOracle(signals), points=2001)
    assert signal_exploitability(signals, policy).max() < 1e-10


@pytest.mark.parametrize("episode", [0, 5, 11])
def test_a_perturbed_equilibrium_is_exploitable_there_and_only_there(episode):
    game = hidden_game()
    table = solve_hidden(game).table
    table.values[episode] += 0.2
    gains = belief_exploitability(game, table) * np.arange(12, 0, -1)
    assert gains[episode] > 0.01
    assert (gains[episode + 1 :] < 1e-10).all()


def test_simulated_exploitability_brackets_the_exact_one():
    game = hidden_game(10, hazard=0.15, shift=1.5, discount=0.95)
    agent = Shifted(HiddenOracle(game), -0.1)
    exact = belief_exploitability(game, tabulate(game, agent))
    simulated = simulated_exploitability(game, agent, histories=800, futures=32)
    assert (simulated.low <= simulated.high + 1e-12).all()
    np.testing.assert_allclose(simulated.low, exact, rtol=0.2, atol=1e-4)
    np.testing.assert_allclose(simulated.high, exact, rtol=0.2, atol=1e-3)
    assert simulated.low.mean() <= exact.mean() * 1.02
    assert simulated.high.mean() >= exact.mean() * 0.98


def test_simulation_follows_memories_of_either_shape():
    game = hidden_game(8, hazard=0.2, shift=1.5, observed="signal")
    filtering, memoryless = FilteringOracle(game), HiddenOracle(game)
    arrays = simulated_exploitability(game, Shifted(filtering, 0.2), histories=50, futures=8)
    layers = simulated_exploitability(game, Layered(filtering, 0.2), histories=50, futures=8)
    np.testing.assert_array_equal(arrays.high, layers.high)
    best = simulated_exploitability(game, filtering, histories=200, futures=16)
    assert abs(best.low.mean()) < 1e-3
    assert best.high.mean() < 1e-3
    forgetful = simulated_exploitability(game, memoryless, histories=200, futures=16)
    assert forgetful.low.mean() > 5 * best.high.mean()


def test_simulation_refuses_odd_numbers_of_futures():
    game = hidden_game(2)
    with pytest.raises(ValueError, match="futures must be an even number ≥ 2; got 3"):
        simulated_exploitability(game, HiddenOracle(game), futures=3)


@pytest.mark.parametrize("observed", ["belief", "signal"])
def test_audits_of_played_games_average_to_the_exact_exploitability(observed):
    game = hidden_game(8, hazard=0.2, shift=1.5, observed=observed)
    agent = Shifted(HiddenOracle(game), 0.2)
    played = mesa_env.rollout(game, agent, np.full(3000, 0.8))
    audit = audit_hidden_deployment(game, agent, played)
    policy = tabulate(game, agent, points=4001)
    exact = (belief_exploitability if observed == "belief" else signal_exploitability)(game, policy)
    assert (audit.gains >= 0).all()
    np.testing.assert_allclose(audit.relative.mean(axis=0), exact, rtol=0.05)
    oracle = HiddenOracle(game)
    played = mesa_env.rollout(game, oracle, np.full(100, 0.8))
    assert audit_hidden_deployment(game, oracle, played).relative.max() < 1e-7


def test_audit_of_an_agent_with_memory_is_simulated():
    game = hidden_game(4, observed="signal")
    agent = Shifted(FilteringOracle(game), 0.3)
    audit = audit_hidden_deployment(game, agent, mesa_env.rollout(game, agent, np.full(3, 0.8)))
    expected = simulated_exploitability(game, agent).high
    np.testing.assert_allclose(audit.relative, np.broadcast_to(expected, (3, 4)), rtol=1e-12)


def test_tabulating_an_oracle_returns_its_table():
    game = hidden_game(5)
    table, solved = tabulate(game, HiddenOracle(game)), solve_hidden(game).table
    np.testing.assert_array_equal(table.at, solved.at)
    np.testing.assert_allclose(table.values, solved.values, atol=2e-7)


@pytest.mark.parametrize("observed", ["belief", "signal"])
def test_gains_of_deviations_into_the_bound_are_those_of_playing_them(observed):
    """At the first turn, against games played by the rules with the same draws of chance."""
    game = hidden_game(12, regularization=1.5, observed=observed)
    agent = Shifted(HiddenOracle(game), 0.4)
    audited = audit_hidden_deployment(game, agent, mesa_env.rollout(game, agent, np.array([0.8])))
    played = mesa_env.rollout(game, agent, 0.8)
    uniforms = np.random.default_rng(1).random((3000, 1 + game.n_uniforms))
    uniforms[:, 0] = 0
    problem = BestResponse(game, agent)
    start, tried = problem.begin(uniforms), np.linspace(-2, 2, 81)
    offers = [played.coefficients[0], audited.best[0, 0], *tried]
    costs = np.array([-problem.step(start, np.full((3000, 1), c)).reward / 0.64 for c in offers])
    error = (costs[0] - costs[1]).std() / 3000**0.5
    assert (costs[0] - costs[1]).mean() == pytest.approx(audited.gains[0, 0], abs=4 * error + 0.02)
    assert costs[1].mean() <= costs.mean(axis=1).min() + 4 * error + 1e-3
    assert audited.gains[0, 0] > 0.05


@pytest.mark.parametrize("memory", [False, True])
def test_without_a_hazard_gains_under_the_bound_are_the_exact_ones_of_the_base_game(memory):
    game = hidden_game(6, regularization=1.5, hazard=0.0, goal_bound=2.0, observed="signal")
    profile = np.array([0.4, 0.1, 0.7, 0.2, 0.9, 0.5])

    class Remembers(Profile):
        """A profile that says it has a memory."""

        def _act(self, rows, episode, memory, begins):
            return super()._act(rows, episode, memory, begins)[0], np.zeros(len(rows))

    agent = (Remembers if memory else Profile)(game, profile)
    audited = audit_hidden_deployment(game, agent, mesa_env.rollout(game, agent, np.array([0.8])))
    base = mesa_env.Game(game.learning_rates, regularization=1.5, goal_bound=2.0)
    exact = mesa_env.exploitability(base, profile)
    if memory:  # which is audited at a fixed goal
        assert audited.gains[0, 0] == pytest.approx(exact[0], rel=1e-4)
    else:
        np.testing.assert_allclose(audited.gains[0], exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "memory", ["memory", {}, np.zeros(()), np.zeros(3), (np.zeros(32),), (np.zeros((1, 3)),)], ids=repr
)
def test_futures_branch_off_from_memories_of_one_row_per_game(memory):
    class Rememberer:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.full((len(observation), 1), 0.5), memory

    game = HiddenDeployment(np.ones(3))
    agent = Rememberer()
    with pytest.raises(
        ValueError, match=r"memory must be an array of 32 rows, one per game, or a tuple .*; got"
    ):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8, 0.3]))


@pytest.mark.parametrize(
    "change", [{"futures": 3}, {"futures": "4"}, {"futures": 2.0}, {"histories": 0}, {"seed": -1}]
)
def test_numbers_of_samples_are_whole(change):
    game = HiddenDeployment(np.ones(3))
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be .* number ≥ [012]; got"):
        simulated_exploitability(game, Profile(game, np.ones(3)), **change)


@pytest.mark.parametrize("observed", ["belief", "signal"])
@pytest.mark.parametrize("bound", [0.5, 1e-3, 1e-30])
def test_goals_may_have_any_bound(observed, bound):
    """Unit sums know no scale: neither do the audit and the oracle's certificate."""
    found = []
    for scale in (1.0, bound):
        game = HiddenDeployment(
            np.ones(3), observed=observed, goal_bound=10 * scale, initial_goal=scale * 2.0**-3, hazard=0.3
        )
        agent = Profile(game, [0.2, 0.3, 0.5])
        found.append(mesa_env.audit(game, agent, mesa_env.rollout(game, agent, game.initial_goal)).gains)
        assert mesa_env.oracle(game).certificate.gain < 0.01
        drawn = dataclasses.replace(game, initial_goal=(-scale / 8, scale / 8))
        assert np.isfinite(simulated_exploitability(drawn, agent).high).all()
    np.testing.assert_allclose(*found, rtol=1e-9)


@pytest.mark.parametrize("bound", [1.0, 100.0])
@pytest.mark.parametrize("seed", range(6))
def test_without_a_hazard_deviations_into_the_bound_are_those_of_the_base_game(bound, seed):
    """Where coefficients may be large, all that matters may lie in a hundredth of their range."""
    rng = np.random.default_rng(seed)
    shared = {"discount": 0.5, "coefficient_bound": bound, "goal_bound": 10.0, "initial_goal": 3.0}
    game, base = (kind([25.0, 25.0, 50.0, 0.0], **shared) for kind in (HiddenDeployment, Game))
    game, profile = dataclasses.replace(game, hazard=0.0), rng.uniform(-1, 1, 4)
    found, exact = (
        mesa_env.audit(each, agent, mesa_env.rollout(each, agent, 3.0))
        for each in (game, base)
        for agent in [Profile(each, profile)]
    )
    assert (found.gains <= exact.gains * (1 + 1e-9) + 1e-9).all()
    np.testing.assert_allclose(found.gains, exact.gains, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("goal", [0.0, 0.8, 10.0])
@pytest.mark.parametrize("growth", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("parameters", [{}, {"regularization": 1.5}, {"coefficient_bound": 0.1}])
def test_an_action_may_project_where_one_at_either_end_does(parameters, goal, growth):
    game = hidden_game(**parameters)
    state = game.start(np.full((1, game.n_uniforms), 0.5), np.array([goal]))
    m = 1 - 2 * game.learning_rates[0] * (np.array([0, game.coefficient_bound]) ** 2 + game.regularization)
    expected = goal > 0 and growth * np.abs(m).max() * goal > game.goal_bound
    assert may_project(game, state, growth) == [expected]


def test_futures_grow_by_no_more_than_the_policy_can():
    """What decides where futures are sampled covers whatever is then sampled."""
    game = hidden_game(regularization=1.2)
    agent = Profile(game, np.linspace(0, 1, game.episodes))
    most = _growth_by_episode(game, tabulate(game, agent))
    state = game.start(np.random.default_rng(0).random((5, game.n_uniforms)))
    for n in range(game.episodes):
        sampled = sample_futures(game, agent, state, None, 8, np.random.default_rng(n))
        assert (sampled.growth >= 1).all()
        assert (sampled.growth <= most[n] * (1 + 1e-9)).all()
        state, _ = game.play(state, np.zeros((5, 1)))
