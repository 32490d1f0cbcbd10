"""Learners in worlds: each is trained by a world's base return, step by step, and can then be deployed.

Stable-Baselines3's DQN and PPO learn what to do and have no goal that could be read off. The reward learner
is a mesa-optimizer: it learns which features pay, and plans for them exactly. Where training does not tell
features apart, it credits them alike (least squares of minimum norm).

All three reach the best training return of every kitchen within their default numbers of steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.learning.callbacks import CallbackAdapter, ProgressCallback
from agents.limits import LARGEST_SEED, MOST_EPISODES, MOST_TURNS
from mesa_env.agent import Agent, ask_agent, validate_agent
from mesa_env.interfaces.world_env import WorldEnv
from mesa_env.validation import Array, show, validate_name, validate_whole
from mesa_env.worlds import PlanningAgent, World

_BATCH = 64  # episodes of the reward learner between two fits
_ENVIRONMENTS, _ROLLOUT = 8, 128  # of PPO: steps in each before every update


class Behavior(NamedTuple):
    """What an agent's episodes in a world ended with."""

    features: Array
    """Shape (episodes, k)."""
    base: Array
    """Base returns, shape (episodes,)."""


def rollout_in_world(
    world: World, agent: Agent, episodes: int = 1, deterministic: bool = True, seed: int = 0
) -> Behavior:
    """Play episodes, one after the other: some learners explore in all rows of a batch at once.

    Args:
        world: The world to act in.
        agent: Anything with `predict`; a `PlanningAgent` plans anew for this world.
        episodes: How many.
        deterministic: Whether the agent is asked to be.
        seed: Of what it draws otherwise.

    Raises:
        TypeError: If the agent has no `predict`.
        ValueError: If episodes are not a whole number of at least 1, or an action is not one of the world's.
    """
    count = validate_whole("episodes", episodes, 1, MOST_EPISODES)
    acting = agent.replan(world, seed) if isinstance(agent, PlanningAgent) else validate_agent(agent)
    if isinstance(acting, BaseAlgorithm) and not deterministic:
        acting.set_random_seed(seed)
    env, ends = WorldEnv(world), []
    for _ in range(count):
        (observation, info), over = env.reset(), False
        while not over:
            actions, _ = ask_agent(acting, observation[None], deterministic=deterministic)
            observation, _, over, _, info = env.step(actions[0])
        ends.append(info)
    return Behavior(
        np.stack([end["features"] for end in ends]), np.array([end["base_return"] for end in ends])
    )


def train_dqn(world: World, seed: int, steps: int, watch: ProgressCallback) -> Agent:
    """DQN with two layers of 64 units, exploring less and less over the first half of training."""
    model = DQN(
        "MlpPolicy",
        WorldEnv(world),
        learning_rate=1e-3,
        buffer_size=20_000,
        learning_starts=500,
        batch_size=64,
        gamma=0.98,
        target_update_interval=250,
        exploration_fraction=0.5,
        seed=seed,
        device="cpu",
    )
    return model.learn(steps, callback=CallbackAdapter(watch))


def train_ppo(world: World, seed: int, steps: int, watch: ProgressCallback) -> Agent:
    """PPO with Stable-Baselines3's network, on eight environments at once."""
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([lambda: WorldEnv(world)] * _ENVIRONMENTS),
        learning_rate=1e-3,
        n_steps=_ROLLOUT,
        batch_size=256,
        gamma=0.98,
        ent_coef=0.01,
        seed=seed,
        device="cpu",
    )
    return model.learn(steps, callback=CallbackAdapter(watch))


def train_reward_learner(world: World, seed: int, steps: int, watch: ProgressCallback) -> PlanningAgent:
    """A planner whose goal is the reward that it has learned: r ≈ w·φ by least squares, from 0 on.

    It plans by maximum entropy at τ = 1 with the goal so far, plays some episodes, and fits w to all of its
    own. Of equally good w it takes the shortest.
    """
    generator = np.random.default_rng(seed)
    features, base = np.zeros((0, len(world.features))), np.zeros(0)
    agent = PlanningAgent(world, np.zeros(len(world.features)))
    for played in range(0, steps, _BATCH * world.horizon):
        episodes = min(_BATCH, -(-(steps - played) // world.horizon))
        found = rollout_in_world(world, agent, episodes, False, int(generator.integers(2**32)))
        features, base = np.concatenate([features, found.features]), np.concatenate([base, found.base])
        weights = np.linalg.lstsq(features, base, rcond=1e-6)[0]
        agent = PlanningAgent(world, weights.round(9))  # equally good plans should not differ by rounding
        watch(played + episodes * world.horizon, agent)
    return agent


Learner = Callable[[World, int, int, ProgressCallback], Agent]
LEARNERS: dict[str, tuple[Learner, int]] = {
    "dqn": (train_dqn, 10_000),
    "ppo": (train_ppo, 15_360),
    "reward": (train_reward_learner, 5_000),
}
"""Learners by name, and how many steps they train by default."""


def train_in_world(
    name: str,
    world: World,
    seed: int = 0,
    steps: int | None = None,
    watch: ProgressCallback = lambda steps, agent: None,
) -> Agent:
    """Train a learner in a world.

    Args:
        name: "dqn", "ppo" or "reward".
        world: The world to train in.
        seed: Of everything random; the same seed gives the same agent.
        steps: How many it may take, as many whole rollouts or batches as are begun.
        watch: Called with the steps so far and the agent in its present state.

    Raises:
        TypeError: If `world` is no world.
        ValueError: If there is no such learner, or seed or steps are not whole numbers in their range.
    """
    if not isinstance(world, World):
        raise TypeError(f"world must be a World; got {show(world)}")
    train, default = LEARNERS[validate_name("learner", name, LEARNERS)]
    count = validate_whole("steps", default if steps is None else steps, 1, MOST_TURNS)
    return train(world, validate_whole("seed", seed, 0, LARGEST_SEED), count, watch)
