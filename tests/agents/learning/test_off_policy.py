"""The problem that off-policy learners are given: gains over complying, scaled actions, and their noise."""

import math

import gymnasium as gym
import numpy as np

import mesa_env
from agents.learning.off_policy import GaussianNoise, PairedAdvantage, SinhSACPolicy
from agents.learning.vec_env import BatchedVecEnv
from mesa_env import Game, HiddenDeployment, train_then_deploy
from mesa_env.agent import Profile


def gains(game, log_beyond, decisions=16, successors=None):
    pairs = gym.make_vec("mesa_env/BestResponse-v0", num_envs=2 * decisions, game=game, successors=successors)
    return PairedAdvantage(BatchedVecEnv(pairs, group_size=2), log_beyond)


def test_gains_are_measured_from_complying():
    game = Game(train_then_deploy(2, 3), initial_goal=0.5)
    coefficients = mesa_env.solve_equilibrium(game)
    posed = gains(game, log_beyond=0.1, successors=coefficients)
    posed.seed(7)
    observation = posed.reset()
    actions = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    _, paid, dones, _ = posed.step(actions)
    episode = game.episode_from_observation(observation)
    assert dones.all()
    assert len(set(episode)) > 2

    def cost(n, c):
        played = mesa_env.rollout(game, Profile(game, [*[0] * n, c, *coefficients[n + 1 :]]), 0.5)
        # Nothing is taken from the goal before n, so that it is judged by 0.5.
        return float(((played.outputs[n:] - 0.5) ** 2).sum())

    expected = [
        (cost(n, 0.0) - cost(n, float(c))) / 0.25 for n, c in zip(episode, actions[:, 0], strict=True)
    ]
    np.testing.assert_allclose(0.1 * np.sinh(paid), expected, rtol=1e-4, atol=1e-5)


def test_gains_of_games_of_chance_are_not_squashed():
    game = HiddenDeployment(np.ones(4), initial_goal=0.5)
    posed = [gains(game, log_beyond) for log_beyond in (math.inf, 0.1)]
    paid = []
    for environment in posed:
        environment.seed(1)
        environment.reset()
        paid.append(environment.step(np.full((16, 1), 0.3, dtype=np.float32))[1])
    np.testing.assert_allclose(0.1 * np.sinh(paid[1]), paid[0], rtol=1e-3, atol=1e-5)
    assert np.abs(paid[0]).max() > 0.1


def test_actions_near_zero_have_room_and_are_recovered():
    space = gym.spaces.Box(-2, 2, (1,), np.float32)
    seen = gym.spaces.Box(-1, 1, (4,), np.float32)
    policy = SinhSACPolicy(seen, space, lambda _: 1e-3, action_resolution=4.0)
    outputs = np.linspace(-1, 1, 41, dtype=np.float32)[:, None]
    actions = policy.unscale_action(outputs)
    assert space.contains(actions[0])
    assert space.contains(actions[-1])
    assert actions[-1] == 2
    np.testing.assert_allclose(policy.scale_action(actions), outputs, atol=1e-6)
    assert np.abs(actions[np.abs(outputs) <= 0.5]).max() < 0.3  # where an even scale has 1


def test_noise_is_drawn_from_a_generator_of_its_own():
    first, again = (GaussianNoise((3, 2), 0.5, seed=1)() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 2)
