"""Cells of the game whose discount is trained: the size of the goal, and the discount."""

import numpy as np

from mesa_env import numerics
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.numerics import Array, compiled
from mesa_env.rules.learnable_discount import LearnableDiscount
from mesa_env.solutions.cells import Cells, Rules, cell_evaluator, read, single
from mesa_env.solutions.learnable_discount import look_up

_POINTS = np.array([[0.01, 0.01], [0.99, 0.01], [0.01, 0.99], [0.99, 0.99], [0.5, 0.5]])


@compiled
def _place(goal: float, discount: float, scale: float, bound: float) -> tuple[float, float]:
    """The point of the unit square; goals are closest together around 0."""
    size, discount = single(abs(goal)), single(discount)
    return size / (size + scale) * (bound + scale) / bound, numerics.position_of(discount)


@compiled
def _state_at(rules: Rules, n: int, u: float, v: float) -> tuple[float, float, float]:
    """Goal and discount at a point of the unit square, and the unit of costs there."""
    _, _, _, bound, scale, episodes = rules.numbers
    share = u * bound / (bound + scale)
    goal, discount = scale * share / (1 - share), numerics.discount_at(v)
    return goal, discount, max(goal * goal * numerics.geometric_sum(discount, episodes - n), 1e-200)


@compiled
def _cost(c: float, rules: Rules, cells: Cells, n: int, goal: float, discount: float) -> float:
    """J_n of a coefficient by the rules, judged by goal and discount, successors playing their cells."""
    kappa, regularization, most, bound, scale, episodes = rules.numbers
    theta, gamma, weight, total, trained = goal, discount, 1.0, 0.0, len(rules.rates)
    c = single(c)
    for k in range(n, trained):
        eta = rules.rates[k]
        if k > n:
            c = min(1.0, most)
            if eta > 0:
                u, v = _place(theta, gamma, scale, bound)
                c = read(cells, k, u, v)
        total += weight * (c * theta - goal) ** 2
        weight *= discount
        slope = look_up(rules.table[k], gamma)
        gamma = min(max(gamma - kappa * eta * 2 * c * theta * theta * slope, 0.0), 1.0)
        theta *= 1 - 2 * eta * (c * c + regularization)
        theta = min(max(theta, -bound), bound)
    deployed = weight * numerics.geometric_sum(discount, episodes - trained)
    cost: float = total + deployed * (min(1.0, most) * theta - goal) ** 2
    return cost


@compiled
def _places(goals: Array, discounts: Array, scale: float, bound: float) -> tuple[Array, Array]:
    us, vs = np.empty_like(goals), np.empty_like(goals)
    for i in range(len(goals)):
        us[i], vs[i] = _place(goals[i], discounts[i], scale, bound)
    return us, vs


_evaluate = cell_evaluator(_cost, _state_at)


class DiscountCells(CellOracle):
    """Plays cells of the game whose discount is trained."""

    game: LearnableDiscount
    _cost = staticmethod(_cost)
    _evaluate = staticmethod(_evaluate)

    def _rules(self) -> Rules:
        game = self.game
        trained = int(np.flatnonzero(game.training).max(initial=-1)) + 1
        self._scale = float(np.abs(game.initial_goal).max()) or 1.0
        numbers = game.discount_learning_rate, game.regularization, game.coefficient_bound
        more = game.goal_bound, self._scale, float(game.episodes)
        rates = game.learning_rates[:trained]
        return Rules(rates, _POINTS, np.zeros(1), (*numbers, *more), game.slopes)

    def _places(self, goal: Array, beside: Array) -> tuple[Array, Array]:
        return _places(goal, beside, self._scale, self.game.goal_bound)
