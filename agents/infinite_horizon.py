"""The oracle of games without end: the limit of long finite games, and its closed forms.

From some episode on the learning rate never changes and all agents are alike. Of their stationary equilibria
the one to report is that which long finite games approach in their first episodes; it is found by lengthening
the game until nothing moves. A stationary coefficient c has the unit sums A = c²/(1 − γm²) and
B = c/(1 − γm) with m = 1 − 2η(c² + λ), so it is a root of one equation in c, which `stationary_coefficients`
solves on its own: a check, and a search for other equilibria. In deployment for ever it is 1.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from agents.audit import Audit
from agents.equilibrium import best_responses, exploitability, solve_equilibria
from mesa_env.rules.game import Array, Game
from mesa_env.rules.infinite_horizon import InfiniteHorizon

_SHORTEST, _LONGEST = 64, 2**21
_STILL = 1e-12


def solve_infinite_horizon(game: InfiniteHorizon) -> Array:
    """Equilibrium coefficients of the game that never ends, for the episodes it may be played; shape (N,).

    Raises:
        ValueError: If finite games do not settle as they become longer.
    """
    rates, episodes = game.learning_rates[: game.settled + 1], _SHORTEST
    before = np.full(len(rates), np.inf)
    while episodes <= _LONGEST:
        schedule = np.append(rates, np.full(episodes, rates[-1]))
        solved = solve_equilibria(schedule[None], game.discount, game.regularization, game.coefficient_bound)[
            0
        ]
        now = solved[: len(rates)]
        if np.abs(now - before).max() <= _STILL and abs(now[-1] - solved[len(rates)]) <= _STILL:
            contraction = 1 - 2 * rates[-1] * (now[-1] ** 2 + game.regularization)
            if game.discount * contraction**2 >= 1:
                raise ValueError(
                    f"goals must not grow faster than they are discounted; with learning rate {rates[-1]:g} "
                    f"and regularization {game.regularization:g}, each is {contraction:.3g} times the last"
                )
            return np.append(now, np.full(game.episodes - len(now), now[-1]))
        before, episodes = now, episodes * 2
    raise ValueError(
        f"finite games of up to {_LONGEST} episodes do not settle: their first coefficients still differ by "
        f"{abs(now[-1] - solved[len(rates)]):.2g} from one episode to the next; lower the discount "
        f"({game.discount:g}) or the regularization ({game.regularization:g})"
    )


def stationary_coefficients(game: InfiniteHorizon, points: int = 4001) -> Array:
    """All coefficients that are a best response to themselves for ever, under the last learning rate.

    Args:
        game: The game.
        points: Where the condition's sign is looked at between 0 and the coefficient's bound.
    """
    rate, discount = game.learning_rates[-1], game.discount
    drift = 1 - 2 * rate * game.regularization

    def condition(c: float) -> float:
        m = drift - 2 * rate * c * c
        squares, outputs = c * c / (1 - discount * m * m), c / (1 - discount * m)
        return float(c - 1 - 4 * rate * discount * c * (m * squares - outputs))

    def converges(c: float) -> bool:
        return bool(discount * (drift - 2 * rate * c * c) ** 2 < 1)

    grid = [c for c in np.linspace(0, game.coefficient_bound, points).tolist() if converges(c)]
    values = [condition(c) for c in grid]
    roots = [
        brentq(condition, low, high, xtol=1e-14)
        for low, high, first, last in zip(grid, grid[1:], values, values[1:], strict=False)
        if (first > 0) != (last > 0)
    ]
    wants_more = grid[-1:] == [game.coefficient_bound] and values[-1] < 0
    return np.array([*roots, game.coefficient_bound] if wants_more else roots)


def audit_infinite_horizon(game: InfiniteHorizon, coefficients: Array) -> Audit:
    """Audit in closed form, one entry an agent up to `settled`, which stands for the mean of all from it on.

    Where the game was cut short, its last coefficient is taken to go on for ever.
    """
    tail = int(np.ceil(np.log(_STILL) / np.log(game.discount))) if game.discount else 1
    rates = np.append(game.learning_rates, np.full(tail, game.learning_rates[-1]))
    endless = Game(rates, game.discount, game.regularization, game.coefficient_bound, game.goal_bound)
    profiles = [np.append(row, np.full(tail, row[-1])) for row in coefficients]

    def by_agent(values: list[Array]) -> Array:
        alike = np.array(values)[:, game.settled : game.episodes].mean(axis=1, keepdims=True)
        return np.concatenate([np.array(values)[:, : game.settled], alike], axis=1)

    gains = by_agent([exploitability(endless, profile) for profile in profiles])
    best = by_agent([best_responses(endless, profile) for profile in profiles])
    return Audit(gains, np.full(gains.shape, 1 / (1 - game.discount)), best)
