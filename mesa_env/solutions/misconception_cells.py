"""Cells of the game with a misconception: angles of (θ, b), and how large the larger of both is."""

import math

import numpy as np

from mesa_env import numerics
from mesa_env.numerics import Array, compiled
from mesa_env.rules.misconception import Misconception
from mesa_env.solutions.cells import CellOracle, Cells, Rules, cell_evaluator, read, single

_RANGE = math.log(1e6)  # sizes from the bound down to a millionth of it are told apart
_LEAST_SHARE = 0.01  # of the square of the larger of goal and belief, in which costs count at least


@compiled
def _place(goal: float, belief: float, bound: float) -> tuple[float, float]:
    """The point of the unit square: the angle, up to a sign of both, and the logarithm of the size."""
    goal, belief = single(goal), single(belief)
    size = max(abs(goal), abs(belief))
    if size == 0:
        return 0.0, 0.0
    angle = math.atan2(belief, goal) / math.pi % 1.0
    return angle, min(max(1 + math.log(size / bound) / _RANGE, 0.0), 1.0)


@compiled
def _state_at(rules: Rules, n: int, u: float, v: float) -> tuple[float, float, float]:
    """Goal and belief at a point of the unit square, and the unit of costs there."""
    goal, belief = math.cos(math.pi * u), math.sin(math.pi * u)
    size = 0.8
    scale = size / max(abs(goal), abs(belief))
    goal, belief = scale * goal, scale * belief
    return goal, belief, rules.lengths[n] * max(goal * goal, _LEAST_SHARE * size * size)


@compiled
def _cost(c: float, rules: Rules, cells: Cells, n: int, goal: float, belief: float) -> float:
    """J_n of a coefficient by the rules, successors playing their cells."""
    ratio, regularization, discount, most, bound = rules.numbers
    judge, weight, total, trained = goal, 1.0, 0.0, len(rules.rates)
    c = single(c)
    for k in range(n, trained + 1):
        eta = rules.rates[k] if k < trained else 0.0
        if k > n:
            c = min(1.0, most)
            if eta > 0:
                u, v = _place(goal, belief, bound)
                c = read(cells, k, u, v)
        y = c * goal + (1 - c) * belief
        total += weight * (rules.lengths[k] if k == trained else 1.0) * (y - judge) ** 2
        goal -= 2 * eta * (y * c + regularization * goal)
        belief -= 2 * eta * ratio * y * (1 - c)
        goal, belief = min(max(goal, -bound), bound), min(max(belief, -bound), bound)
        weight *= discount
    return total


@compiled
def _places(goals: Array, beliefs: Array, bound: float) -> tuple[Array, Array]:
    us, vs = np.empty_like(goals), np.empty_like(goals)
    for i in range(len(goals)):
        us[i], vs[i] = _place(goals[i], beliefs[i], bound)
    return us, vs


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
        points = np.array([[0.001, 0.5], [0.999, 0.5], [0.26, 0.5], [0.74, 0.5], [0.5, 0.5]])
        return Rules(game.learning_rates[:trained], points, lengths, (*numbers, game.goal_bound), np.zeros((1, 1)))

    def _places(self, goal: Array, beside: Array) -> tuple[Array, Array]:
        return _places(goal, beside, self.game.goal_bound)
