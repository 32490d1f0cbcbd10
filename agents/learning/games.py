"""What learners need to know about a game, by its kind; needs no PyTorch."""

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules import HiddenDeployment, InfiniteHorizon, LearnableDiscount, Misconception
from mesa_env.rules.rules import Array
from mesa_env.rules.scalar import ScalarGame

NEGLIGIBLE_SHARE = 0.1
"""Largest share of an agent's weights that may be cut off while its cost still counts as complete."""

_DIFFERENT_DECISIONS = (Misconception, LearnableDiscount, HiddenDeployment)


def decisions_alike(game: ScalarGame) -> bool:
    """Whether all games of a batch face the same decision up to the goal's scale, as homogeneity gives."""
    return not isinstance(game, _DIFFERENT_DECISIONS)


def cost_is_complete(game: ScalarGame) -> NDArray[np.bool_]:
    """Whether each agent's mesa cost is nearly complete when its game is over, shape (N,).

    Only an endless game is cut short: there, where the missing episodes hold at most `NEGLIGIBLE_SHARE` of
    the agent's weights.
    """
    if not isinstance(game, InfiniteHorizon):
        return np.ones(game.episodes, dtype=bool)
    return np.asarray(game.discount ** np.arange(game.episodes, 0, -1) <= NEGLIGIBLE_SHARE)


def typical_goals(game: ScalarGame, count: int = 4) -> Array:
    """Initial goals spread evenly over the game's range of them; a single one if the game fixes it."""
    if not isinstance(game.initial_goal, tuple):
        return np.array([game.initial_goal])
    low, high = game.initial_goal
    return low + (high - low) * (np.arange(count) + 0.5) / count
