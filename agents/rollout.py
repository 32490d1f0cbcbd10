"""Playing whole games with one agent in every seat."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pettingzoo import AECEnv

from mesa_env.decisions import Agent
from mesa_env.rules.game import Array, Game


class Trajectory(NamedTuple):
    """One game, or a batch of B games with a leading axis on every field.

    Attributes:
        goals: θ_0…θ_N, shape (N + 1,).
        coefficients: y_n / θ_n, shape (N,); what was played, where the goal is 0.
        outputs: y_n, shape (N,).
        base_losses: Base loss of each episode, shape (N,).
    """

    goals: Array
    coefficients: Array
    outputs: Array
    base_losses: Array


def rollout(game: Game, agent: Agent, initial_goal: ArrayLike, deterministic: bool = True) -> Trajectory:
    """Play `game` from its first episode to its last, the agent seeing nothing but observations.

    Args:
        game: The game.
        agent: Anything with Stable-Baselines3's `predict`.
        initial_goal: θ_0, a number for one game or shape (B,) for a batch.
        deterministic: Whether a stochastic policy plays its mean.

    Raises:
        ValueError: If an initial goal lies outside the game's bound, or the agent's action outside its space.
    """
    try:
        first = np.asarray(initial_goal, dtype=np.float64)
    except (TypeError, ValueError):
        first = np.array(np.nan)
    if first.ndim > 1 or not first.size or not (np.abs(first) <= game.goal_bound).all():
        raise ValueError(
            f"initial_goal must be a number or (B,) in ±{game.goal_bound:g}; got {initial_goal!r}"
        )
    goal = first.reshape(-1)
    state, memory = game.start(np.zeros((len(goal), game.draws)), goal), None
    begins = np.ones(len(goal), dtype=bool)
    steps = []
    while not np.logical_or(*game.over(state)).all():
        action, memory = agent.predict(
            game.observe(state), state=memory, episode_start=begins, deterministic=deterministic
        )
        action = game.validated_actions(action, goal.shape)
        state, outcome = game.play(state, action)
        steps.append((outcome.goal, action[:, 0].astype(np.float64), outcome.output, outcome.base_loss))
        begins = np.zeros_like(begins)
    goals, coefficients, outputs, losses = np.array(steps).transpose(1, 2, 0)
    played = Trajectory(np.column_stack([goals, state.goal]), coefficients, outputs, losses)
    return played if first.ndim else Trajectory(*(field[0] for field in played))


def play(env: AECEnv[str, NDArray[Any], Any], agent: Agent, seed: int | None = None) -> dict[str, float]:
    """Play one game in a PettingZoo environment, the same agent in every seat.

    Returns:
        What every seat was paid by the end: −J_n of agent n.
    """
    env.reset(seed=seed)
    returns, memory = {}, None
    for seat in env.agent_iter():
        observation, reward, terminated, truncated, _ = env.last()
        if terminated or truncated or observation is None:
            returns[seat] = float(reward)
            env.step(None)
            continue
        action, memory = agent.predict(
            observation[None], state=memory, episode_start=np.array([memory is None]), deterministic=True
        )
        env.step(action[0])
    return returns
