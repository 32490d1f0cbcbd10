"""The oracle of endless games: the limit of long finite games, and its closed forms.

From some episode on the learning rate never changes and all agents face the same game. Of their stationary
equilibria, the oracle is the one that long finite games approach in their first episodes; it is found by
lengthening the game until nothing moves. A stationary coefficient c has the unit sums A = c²/(1 − γm²) and
B = c/(1 − γm) with m = 1 − 2η(c² + λ), so it is a root of one equation in c, which `stationary_coefficients`
solves independently: a check, and a search for other equilibria. In endless deployment it is 1.
"""

import numpy as np
from scipy.optimize import brentq

from mesa_env.rules.infinite_horizon import InfiniteHorizon
from mesa_env.rules.rules import Array
from mesa_env.solutions.equilibrium import solve_equilibria
from mesa_env.validation import require_kind

_SHORTEST, _LONGEST = 64, 2**21
_TOLERANCE = 1e-12


def solve_infinite_horizon(game: InfiniteHorizon) -> Array:
    """Equilibrium coefficients of the endless game, for as many episodes as it may be played; shape (N,).

    Raises:
        ValueError: If finite games do not converge as they become longer.
    """
    require_kind(game, InfiniteHorizon)
    rates, episodes = game.learning_rates[: game.stationary_from + 1], _SHORTEST
    parameters = game.discount, game.regularization, game.coefficient_bound
    before = np.full(len(rates), np.inf)
    while episodes <= _LONGEST:
        schedule = np.append(rates, np.full(episodes, rates[-1]))
        (solved,) = solve_equilibria(schedule[None], *parameters)
        now = solved[: len(rates)]
        if np.abs(now - before).max() <= _TOLERANCE and abs(now[-1] - solved[len(rates)]) <= _TOLERANCE:
            contraction = 1 - 2 * rates[-1] * (now[-1] ** 2 + game.regularization)
            if game.discount * contraction**2 >= 1:
                raise ValueError(
                    f"goals must not grow faster than they are discounted; with learning rate {rates[-1]:g} "
                    f"and regularization {game.regularization:g}, each is {contraction:.3g} times the last"
                )
            return np.append(now, np.full(game.episodes - len(now), now[-1]))
        moved = max(float(np.abs(now - before).max()), abs(float(now[-1] - solved[len(rates)])))
        before, episodes = now, episodes * 2
    left = game.discount**_LONGEST  # of the weight of an endless sum
    reason = f"; what comes later still has {left:.7g} of all weight" if left > _TOLERANCE else ""
    raise ValueError(
        f"coefficients of finite games must settle before these have {_LONGEST} episodes; with discount "
        f"{game.discount!r} and regularization {game.regularization!r} they still change by {moved:.2g}"
        f"{reason}"
    )


def stationary_coefficients(game: InfiniteHorizon, points: int = 4001) -> Array:
    """All coefficients that are best responses to themselves forever, under the last learning rate.

    The sign of the condition is compared at that many points between 0 and the bound.
    """
    rate, discount = game.learning_rates[-1], game.discount
    drift = 1 - 2 * rate * game.regularization

    def condition(c: float) -> float:
        m = drift - 2 * rate * c * c
        squares, outputs = c * c / (1 - discount * m * m), c / (1 - discount * m)
        return float(c - 1 - 4 * rate * discount * c * (m * squares - outputs))

    tried = np.linspace(0, game.coefficient_bound, points)
    grid = tried[discount * (drift - 2 * rate * tried * tried) ** 2 < 1].tolist()  # where sums converge
    values = [condition(c) for c in grid]
    roots = [
        brentq(condition, low, high, xtol=1e-14)
        for low, high, first, last in zip(grid, grid[1:], values, values[1:], strict=False)
        if (first > 0) != (last > 0)
    ]
    wants_more = grid[-1:] == [game.coefficient_bound] and values[-1] < 0
    return np.array([*roots, game.coefficient_bound] if wants_more else roots)
