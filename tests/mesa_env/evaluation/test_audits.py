"""The audit of every kind of game."""

from __future__ import annotations

import re

import numpy as np
import pytest

import agents
import mesa_env
from mesa_env import GAMES, Game, InfiniteHorizon
from mesa_env.agent import Profile
from mesa_env.evaluation.audits import AUDITS, audit_infinite_horizon
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from tests.conftest import ONE_OF_EACH_KIND, every_kind
from tests.mesa_env.solutions.test_infinite_horizon import MIXED, endless

GOALS = [0.8, -0.3, 0.05]


def test_there_is_an_audit_of_every_kind_of_game():
    assert AUDITS.keys() == set(GAMES.values())


def test_games_without_an_audit_are_refused():
    class Unsolved(Game):
        """A game of the user's own."""

    game = Unsolved([1.0, 0.0])
    agent = Profile(game, [0.5, 1.0])
    names = ", ".join(kind.__name__ for kind in AUDITS)
    with pytest.raises(ValueError, match=re.escape(f"there are audits for {names}; got Unsolved")):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))


@every_kind
def test_every_audit_finds_nothing_to_gain_at_the_oracle_and_much_elsewhere(name):
    game = with_fixed_length(ONE_OF_EACH_KIND[name])
    relative = {}
    for agent_name in ("equilibrium", "compliant"):
        agent = agents.make(agent_name, game)
        played = mesa_env.rollout(game, agent, GOALS)
        audited = mesa_env.audit(game, agent, played)
        distinct = game.stationary_from + 1 if name == "InfiniteHorizon" else game.episodes
        assert audited.gains.shape == audited.weights.shape == audited.best.shape == (3, distinct)
        excess = played.coefficients[:, :distinct] - audited.best
        if agent_name == "equilibrium":
            np.testing.assert_allclose(excess, 0, atol=2e-3)
        else:
            assert excess.max() < 0, "a compliant agent shows too little of its goal"
        assert (audited.gains > -1e-9).all()
        relative[agent_name] = audited.relative.mean()
    assert relative["equilibrium"] < 1e-5
    assert relative["compliant"] > 0.05


@every_kind
def test_one_game_is_audited_as_a_batch_of_one(name):
    game = with_fixed_length(ONE_OF_EACH_KIND[name])
    agent = agents.make("compliant", game)
    alone = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, 0.8))
    batch = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))
    assert alone.gains.shape == batch.gains.shape[1:]
    assert alone.gains.max() > 0
    np.testing.assert_array_equal(alone.gains, batch.gains[0])
    np.testing.assert_array_equal(alone.weights, batch.weights[0])
    np.testing.assert_array_equal(alone.best, batch.best[0])


@pytest.mark.parametrize("goals", [0.8, GOALS])
def test_games_of_random_length_are_not_audited(goals):
    game = ONE_OF_EACH_KIND["InfiniteHorizon"]
    agent = agents.make("myopic", game)
    with pytest.raises(
        ValueError, match=r"audited in expectation: play and audit with_fixed_length\(game\)$"
    ):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, goals))


@pytest.mark.parametrize("game", [endless(), MIXED, endless(discount=0.0)])
def test_in_endless_games_there_is_nothing_to_gain_at_the_oracle_and_much_elsewhere(game):
    equilibrium = solve_infinite_horizon(game)
    audited = audit_infinite_horizon(game, equilibrium[None])
    assert audited.gains.shape == audited.weights.shape == (1, game.stationary_from + 1)
    assert np.abs(audited.gains).max() < 1e-12
    np.testing.assert_allclose(audited.weights, 1 / (1 - game.discount), rtol=1e-15)
    others = np.stack([equilibrium * 0.8, np.zeros_like(equilibrium)])
    gains = audit_infinite_horizon(game, others).gains
    assert (gains >= 0).all()
    assert (gains[:, 0] > 1e-3).all()


@pytest.mark.parametrize("schedule", [[0.5], [0.5, 0.2], [0.3, 1, 0.5], [1, 0, 0.3, 0.1]])
def test_an_endless_game_is_audited_as_a_very_long_one(schedule):
    """Against played sums: J_n of the profile continued forever, minus the least over a fine grid.

    Agents that face the same game share an entry, the mean of theirs.
    """
    game = InfiniteHorizon(schedule, discount=0.8, max_episodes=4)
    profile = np.array([0.6, 0.2, 0.9, 0.4])
    grid = np.linspace(0, 2, 20_001)

    def costs(n, first):
        theta, total, judge = np.ones_like(first), np.zeros_like(first), 1.0
        for k in range(200):
            c = first if k == 0 else profile[min(n + k, 3)]
            total = total + 0.8**k * (c * theta - judge) ** 2
            theta = theta * (1 - 2 * game.learning_rates[min(n + k, 3)] * c * c)
        return total

    gains = [costs(n, profile[n : n + 1])[0] - costs(n, grid).min() for n in range(4)]
    first = len(schedule) - 1
    expected = [*gains[:first], np.mean(gains[first:])]
    audited = audit_infinite_horizon(game, np.stack([profile, solve_infinite_horizon(game)]))
    assert audited.gains.shape == (2, first + 1)
    np.testing.assert_allclose(audited.gains[0], expected, atol=1e-7)
    np.testing.assert_allclose(audited.gains[1], 0, atol=1e-12)
