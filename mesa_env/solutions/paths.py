"""Planners, which act on their goal and one thing beside it, and the paths that games take with them."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from mesa_env.agent import GameAgent
from mesa_env.numerics import Array, Booleans, Integers
from mesa_env.rules.rules import State
from mesa_env.rules.scalar import ScalarGame


class Planner(GameAgent):
    """An agent without memory that sees, beside the clock, its goal and a belief or a discount."""

    @abstractmethod
    def coefficients(self, episode: Integers, goal: Array, beside: Array) -> Array:
        """Coefficients in the states (n, θ, and belief or discount), each of shape (B,)."""

    def _act(self, rows: Array, episode: Integers, memory: Any, begins: Booleans) -> tuple[Array, Any]:
        return self.coefficients(episode, rows[:, 0], rows[:, 4]), None


def follow(
    game: ScalarGame, state: State, plan: Callable[[Integers, Array, Array], Array]
) -> tuple[Array, Array]:
    """Play games from their first state to the end, all in double precision.

    Returns:
        Coefficients, shape (N, B); and goals and what is kept beside them, shape (N + 1, 2, B).
    """
    coefficients, path = [], [(state.goal, *state.extra)]
    for _ in range(game.episodes):
        coefficients.append(plan(state.episode, *path[-1]))
        state, _ = game.play(state, coefficients[-1][:, None])
        path.append((state.goal, *state.extra))
    return np.array(coefficients), np.array(path)
