"""The post's own oracle: backward induction over a grid of coefficients.

The post lets the last agent try 401 coefficients on [−2, 2], score each by its mean mesa cost over 11 goals
on [−1, 1], and keep the best; then the agent before it, whose whole future is simulated under the plan just
found; and so on to the first. `simulated_grid_search` does exactly that, in O(N² · 401 · 11). `grid_search`
finds the same plan from the unit sums of `mesa_env.solutions.equilibrium`, in O(N · 401): by homogeneity the
mean over goals is a constant times the unit cost.
"""

from collections.abc import Callable

import numpy as np

from mesa_env.rules.game import Game
from mesa_env.rules.rules import Array
from mesa_env.solutions.equilibrium import require_base_game, warn_where_goals_are_projected

GRID_POINTS = 401
GOALS = 11


def grid_search(game: Game) -> Array:
    """The post's plan, choice by choice, from unit sums; shape (N,).

    Unit sums ignore the projection of goals, as the post does; where the plan leads to one, there is a
    warning, as in `solve_equilibrium`.
    """
    plan = grid_plan(game)
    warn_where_goals_are_projected(game, plan * plan)
    return plan


def grid_plan(game: Game) -> Array:
    """`grid_search` without a warning where the projection of goals binds, as it may; shape (N,)."""
    grid = _grid(require_base_game(game))[None]
    plan: Array = best_of_proposals(game, lambda: grid)[0]
    return plan


def best_of_proposals(game: Game, propose: Callable[[], Array]) -> Array:
    """Plans by backward induction in which every agent takes the best of the coefficients proposed to it.

    `propose` is called once per agent, from the last to the first, and returns proposals of shape (games, K);
    plans have shape (games, N).
    """
    choices: list[Array] = []
    # Unit sums are kept as multiples of 2^exponent, exactly: goals may grow beyond floating point.
    squares = outputs = np.zeros(1)
    exponent = np.zeros(1, dtype=np.int64)
    for rate in game.learning_rates[::-1]:
        c = propose()
        with np.errstate(over="ignore", invalid="ignore"):
            drift, moved = 1 - 2 * rate * game.regularization, -2 * rate * c**2
            m = drift + moved
            # m² A − 2 m B, less what does not depend on c, which large sums would drown in
            future = moved * ((drift + m) * squares - 2 * outputs)
            cost = np.ldexp((c - 1) ** 2, -exponent) + game.discount * future
        best = np.where(np.isnan(cost), np.inf, cost).argmin(axis=1)[:, None]
        c, m = np.take_along_axis(c, best, 1), np.take_along_axis(m, best, 1)
        squares = np.ldexp(c * c, -exponent) + game.discount * m * m * squares
        outputs = np.ldexp(c, -exponent) + game.discount * m * outputs
        growth = np.maximum(np.frexp(squares)[1], -exponent)
        squares, outputs, exponent = np.ldexp(squares, -growth), np.ldexp(outputs, -growth), exponent + growth
        choices.append(c[:, 0])
    return np.stack(choices[::-1], axis=1)


def simulated_grid_search(game: Game) -> Array:
    """The post's method as the post describes it: a slow reference for tests and benchmarks; shape (N,)."""
    grid = [float(c) for c in _grid(require_base_game(game))]
    rates = [float(rate) for rate in game.learning_rates]
    plan: list[float] = []
    for n in reversed(range(game.episodes)):
        costs = [_mean_cost([c, *plan], rates[n:], game) for c in grid]
        plan.insert(0, grid[costs.index(min(costs))])
    return np.array(plan)


def _grid(game: Game) -> Array:
    return np.linspace(-game.coefficient_bound, game.coefficient_bound, GRID_POINTS)


def _mean_cost(plan: list[float], rates: list[float], game: Game) -> float:
    """Mean mesa cost, over the post's goals, of the agent that plays the plan's first coefficient."""
    costs = []
    for first_goal in np.linspace(-1, 1, GOALS).tolist():
        goal, cost = first_goal, 0.0
        for k, (c, rate) in enumerate(zip(plan, rates, strict=True)):
            cost += game.discount**k * (c * goal - first_goal) ** 2
            goal -= rate * (2 * c * goal * c + 2 * game.regularization * goal)
        costs.append(cost)
    return sum(costs) / GOALS
