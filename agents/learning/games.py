"""What learners need to know about a game, by its kind; needs no PyTorch."""

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules import (
    AdaptiveOptimizer,
    GoalTraining,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)
from mesa_env.rules.rules import Array, Rules

NEGLIGIBLE_SHARE = 0.1
"""Largest share of an agent's weights that may be cut off while its cost still counts as complete."""

_DIFFERENT_DECISIONS = (AdaptiveOptimizer, Misconception, LearnableDiscount, HiddenDeployment, GoalTraining)


def decisions_alike(game: Rules) -> bool:
    """Whether all games of a batch face the same decision up to the goal's scale, as homogeneity gives."""
    return not isinstance(game, _DIFFERENT_DECISIONS)


def cost_is_complete(game: Rules) -> NDArray[np.bool_]:
    """Whether each agent's mesa cost is nearly complete when its game is over, shape (N,).

    Only an endless game is cut short: there, where the missing episodes hold at most `NEGLIGIBLE_SHARE` of
    the agent's weights.
    """
    if not isinstance(game, InfiniteHorizon):
        return np.ones(game.episodes, dtype=bool)
    return np.asarray(game.discount ** np.arange(game.episodes, 0, -1) <= NEGLIGIBLE_SHARE)


def typical_goals(game: Rules, count: int = 4) -> Array:
    """Initial goals spread evenly over the game's range of them; a single one if the game fixes it."""
    if not isinstance(game.initial_goal, tuple):
        return np.array([game.initial_goal])
    low, high = np.array(game.initial_goal)
    shares = (np.arange(count) + 0.5) / count
    return np.asarray(low + (high - low) * shares.reshape(-1, *[1] * len(game.goal_shape)))
