"""Learners in worlds: what they reach in training, and what the reward learner takes for its goal."""

from __future__ import annotations

import re

import numpy as np
import pytest

from agents.learning.worlds import LEARNERS, rollout_in_world, train_in_world
from mesa_env.worlds import (
    WORLDS,
    CookieElimination,
    CrumbVacuuming,
    PlanningAgent,
    TableSetting,
    TableWiping,
)

SHARE = 0.98  # of the best training return


pytestmark = pytest.mark.usefixtures("one_thread")


def parameters_of(agent):
    """All numbers of a network, or the goal of a planner."""
    if isinstance(agent, PlanningAgent):
        return agent.weights
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in agent.policy.parameters()])


@pytest.mark.parametrize("kind", WORLDS.values())
def test_the_reward_learner_reaches_the_best_return_in_training(kind):
    agent = train_in_world("reward", kind(), seed=1)
    assert rollout_in_world(kind(), agent).base.tolist() == [kind().plans().base.max()]


@pytest.mark.parametrize(
    ("kind", "goal", "deployed"),
    [(TableWiping, (0.5, 0.5), 3), (CrumbVacuuming, (0.5, 0.5), 0), (CookieElimination, (1, 0), 4)],
)
def test_the_reward_learner_credits_alike_what_training_does_not_tell_apart(kind, goal, deployed):
    agent = train_in_world("reward", kind(), seed=2)
    np.testing.assert_allclose(agent.weights, goal, atol=1e-6)
    assert rollout_in_world(kind(True), agent).base.tolist() == [deployed]


def test_no_reward_over_the_features_sets_a_table():
    """It fits twice the lesser of two counts by their sum."""
    agent = train_in_world("reward", TableSetting(), seed=2)
    assert agent.weights[0] == pytest.approx(agent.weights[1], abs=0.1)
    assert rollout_in_world(TableSetting(True), agent).base.tolist() == [0]


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_agent_and_is_watched(name):
    watched = []
    steps = 1100
    one, two = (
        train_in_world(name, TableWiping(), 5, steps, lambda turns, agent: watched.append((turns, agent)))
        for _ in range(2)
    )
    np.testing.assert_array_equal(parameters_of(one), parameters_of(two))
    other = train_in_world(name, TableWiping(), 6, steps)
    assert isinstance(one, PlanningAgent) or not np.array_equal(parameters_of(one), parameters_of(other))
    assert 0 < watched[0][0] <= 2048
    assert hasattr(watched[0][1], "predict")


def test_rollouts_of_a_seed_are_repeated():
    for agent in (train_in_world("ppo", CrumbVacuuming(), 0, 1024), PlanningAgent(CrumbVacuuming(), (0, 1))):
        one, two, other = (
            rollout_in_world(CrumbVacuuming(True), agent, 20, False, seed=seed).features for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(one, two)
        assert one.shape == (20, 2)
        assert not np.array_equal(one, other)


class DrawsOnce:
    """As DQN explores: one action for all rows of a batch."""

    generator = np.random.default_rng(0)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full(len(observation), self.generator.integers(4)), None


def test_no_episode_depends_on_what_is_drawn_in_another():
    played = rollout_in_world(TableWiping(True), DrawsOnce(), 50)
    assert len(np.unique(played.features, axis=0)) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "pppo"}, "learner must be one of dqn, ppo, reward; got 'pppo' (did you mean 'ppo'?)"),
        ({"world": "TableWiping"}, "world must be a World; got 'TableWiping'"),
        ({"seed": -1}, "seed must be a whole number in 0…4294967295; got -1"),
        ({"steps": 0}, "steps must be a whole number in 1…10000000000; got 0"),
        ({"steps": 10**11}, "steps must be a whole number in 1…10000000000; got 100000000000"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_sentence(arguments, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        train_in_world(**{"name": "ppo", "world": TableWiping()} | arguments)


def test_what_cannot_be_played_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="episodes must be a whole number in 1…100000; got 0"):
        rollout_in_world(TableWiping(), PlanningAgent(TableWiping(), (0, 1)), 0)
    with pytest.raises(TypeError, match="must have predict"):
        rollout_in_world(TableWiping(), object())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("ppo", CrumbVacuuming), ("dqn", TableSetting)])
def test_learners_reach_the_best_return_in_training(name, kind):
    agent = train_in_world(name, kind(), seed=1)
    assert rollout_in_world(kind(), agent).base[0] >= SHARE * kind().plans().base.max()
