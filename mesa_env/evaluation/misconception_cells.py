"""Cells of the game with a misconception: intervals of the angle of (θ, b).

Everything is homogeneous in (θ, b) until the projection of either binds, so that costs are weighed at the
size with which the game begins; along paths they are weighed at the size that is reached.
"""

import math

import numpy as np

from mesa_env import numerics
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.numerics import Array, compiled
from mesa_env.rules.misconception import Misconception
from mesa_env.solutions.cells import Cells, Rules, cell_evaluator, read, single

_LEAST_SHARE = 0.01  # of the square of goal and belief, in which costs count at least
_POINTS = np.array([[0.001, 0.5], [0.999, 0.5], [0.26, 0.5], [0.74, 0.5], [0.5, 0.5]])


@compiled
def _place(goal: float, belief: float) -> float:
    """The angle as a share of half a turn, which is the same for both signs of the pair."""
    return math.atan2(single(belief), single(goal)) / math.pi % 1.0


@compiled
def _state_at(rules: Rules, n: int, u: float, v: float) -> tuple[float, float, float]:
    """Goal and belief at an angle, and the unit of costs there."""
    size = rules.numbers[5]
    goal, belief = size * math.cos(math.pi * u), size * math.sin(math.pi * u)
    return goal, belief, rules.lengths[n] * max(goal * goal, _LEAST_SHARE * size * size)


@compiled
def _cost(c: float, rules: Rules, cells: Cells, n: int, goal: float, belief: float) -> float:
    """J_n of a coefficient by the rules, successors playing their cells."""
    ratio, regularization, discount, most, bound, _ = rules.numbers
    judge, weight, total, trained = goal, 1.0, 0.0, len(rules.rates)
    c = single(c)
    for k in range(n, trained + 1):
        eta = rules.rates[k] if k < trained else 0.0
        if k > n:
            c = min(1.0, most)
            if eta > 0:
                c = read(cells, k, _place(goal, belief), 0.5)
        y = c * goal + (1 - c) * belief
        total += weight * (rules.lengths[k] if k == trained else 1.0) * (y - judge) ** 2
        goal -= 2 * eta * (y * c + regularization * goal)
        belief -= 2 * eta * ratio * y * (1 - c)
        goal, belief = min(max(goal, -bound), bound), min(max(belief, -bound), bound)
        weight *= discount
    return total


@compiled
def _angles(goals: Array, beliefs: Array) -> Array:
    angles = np.empty_like(goals)
    for i in range(len(goals)):
        angles[i] = _place(goals[i], beliefs[i])
    return angles


_evaluate = cell_evaluator(_cost, _state_at)


class MisconceptionCells(CellOracle):
    """Plays cells of the game with a misconception."""

    game: Misconception
    _cost = staticmethod(_cost)
    _evaluate = staticmethod(_evaluate)

    def _rules(self) -> Rules:
        game = self.game
        trained = int(np.flatnonzero(game.training).max(initial=-1)) + 1
        lengths = numerics.discounted_lengths(game.discount, game.episodes)[: trained + 1]
        numbers = game.belief_learning_rate, game.regularization, game.discount, game.coefficient_bound
        size = float(max(np.abs(game.initial_goal).max(), np.abs(game.initial_belief).max())) or 1.0
        rates = game.learning_rates[:trained]
        return Rules(rates, _POINTS, lengths, (*numbers, game.goal_bound, size), np.zeros((1, 1)))

    def _places(self, goal: Array, beside: Array) -> tuple[Array, Array]:
        angles = _angles(goal, beside)
        return angles, np.full_like(angles, 0.5)
