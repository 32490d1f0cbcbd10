"""The exact oracle of the game with local policies: backward induction with a cubic.

As in the base game (`mesa_env.solutions.equilibrium`), three unit sums A, B, K say all that an agent needs to
know of its successors. The mesa cost of a coefficient c and a slope s, in units of θ_n², depends on s only
through the product q = c s that the base optimizer sees:

    J(c, q) = (c − 1)² + γ (m² A − 2 m B + K),      m = a − 2ηq,      a = 1 − 2ηλ,      |q − c²| ≤ δ |c|.

Given c, the best product is q* = (a − B/A) / 2η, which hands on the goal that the successors deserve, brought
into [c² − δ|c|, c² + δ|c|]. What is left is to minimize over c

    (c − 1)² + 4η²γA · d(c)²,       d(c) = the distance of q* from [c² − δ|c|, c² + δ|c|].

The interval is the same for ±c, and the positive one emits more of the goal, so c ≥ 0; and the cost falls to
the right of 0, so that full deception is never optimal, however much is decoupled. With c > 0 there are three
cases, and in each the minimum is *unique*:

- 1 − δ ≤ q* ≤ 1 + δ: c = 1 and s = q*.
- q* > 1 + δ: on the boundary q = c² + δc, between 1 and where that meets q*. To the left of both the cost
  falls, to the right it rises; the first-order condition is a cubic whose coefficients change sign once.
- q* < 1 − δ: on the boundary q = c² − δc, between 1 and where that meets q* or comes nearest. For q* ≤ 0 d is
  convex, and so is the cost; for q* > 0 it lies right of where q* is met, and the cost falls left of that.

Where δ ≥ 1 + λ, every agent emits its goal with slope −λ, and the base update leaves the goal where it is.

The closed forms hold while the projection of goals does not bind; `solve_decoupling` warns where it does.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq

from mesa_env.agent import GameAgent
from mesa_env.numerics import Array, Booleans, Integers, unit_sums_before
from mesa_env.rules.decoupling import Decoupling
from mesa_env.solutions.equilibrium import warn_where_goals_are_projected
from mesa_env.validation import require_kind

_ITERATIONS = 5000  # halvings from the largest number to the least, and more
_RELATIVE = 4 * float(np.finfo(np.float64).eps)  # the least that brentq accepts, even for roots close to 0


class Decision:
    """Agent n's decision problem, given the unit sums A and B of its successors."""

    def __init__(self, game: Decoupling, episode: int, squares: float, outputs: float) -> None:
        self.squares, self.outputs = squares, outputs
        self.rate, self.discount = float(game.learning_rates[episode]), game.discount
        self.drift = 1 - 2 * self.rate * game.regularization  # a
        self.decoupling, self.bound = game.decoupling, game.coefficient_bound
        self.weight = 4 * self.rate * self.rate * self.discount * self.squares  # of the squared distance

    def best(self) -> tuple[float, float]:
        """The best coefficient and slope. Where nothing depends on the slope, s = c, as in the base game."""
        if self.weight == 0:
            return min(1.0, self.bound), min(1.0, self.bound)
        wanted = (self.drift - self.outputs / self.squares) / (2 * self.rate)
        coefficient = min(self._best_coefficient(wanted), self.bound)
        low, high = coefficient - self.decoupling, coefficient + self.decoupling
        return coefficient, min(max(wanted / coefficient, low), high)

    def _best_coefficient(self, wanted: float) -> float:
        """The coefficient that minimizes the cost if it were unbounded, for q* = `wanted`."""
        half = self.decoupling / 2
        root = math.sqrt(max(half * half + wanted, 0.0))
        if wanted > 1 + self.decoupling:
            return self._stationary(wanted, self.decoupling, wanted / (half + root))
        if wanted < 1 - self.decoupling:
            meets = half + root if half < 1 else min(half, -wanted / (half + root))
            return self._stationary(wanted, -self.decoupling, meets)
        return 1.0

    def _stationary(self, wanted: float, reach: float, meets: float) -> float:
        """Where the cost is stationary along q = c² + reach·c, between 1 and where it `meets` q*."""

        def tilt(c: float) -> float:
            return c - 1 + self.weight * (c * (c + reach) - wanted) * (2 * c + reach)

        if tilt(1.0) * tilt(meets) >= 0:  # the interval is a single point up to rounding
            return meets
        return float(brentq(tilt, 1.0, meets, xtol=1e-300, rtol=_RELATIVE, maxiter=_ITERATIONS))

    def gain(self, coefficient: float, slope: float) -> float:
        """J minus its least value, with differences of squares factored so that little cancels."""
        best, steep = self.best()
        here, there = (self.drift - 2 * self.rate * q for q in (coefficient * slope, best * steep))
        future = (here - there) * ((here + there) * self.squares - 2 * self.outputs)
        return max((coefficient - best) * (coefficient + best - 2) + self.discount * future, 0.0)

    def unit_sums_before(self, coefficient: float, slope: float) -> tuple[float, float]:
        """The unit sums A, B that the agent before faces, given this one's action."""
        m = self.drift - 2 * self.rate * coefficient * slope
        return unit_sums_before(coefficient, m, self.discount, self.squares, self.outputs)


def solve_decoupling(game: Decoupling) -> tuple[Array, Array]:
    """Coefficients and slopes of the equilibrium, every agent judged by its own goal.

    Each has shape (N,). It is unique, except that any slope will do in deployment, and wherever else nothing
    depends on it; there s = c.

    Example:
        >>> coefficients, slopes = solve_decoupling(Decoupling(decoupling=1.0))
        >>> float(coefficients[0]), float(slopes[0])
        (1.0, 0.0)
    """
    require_kind(game, Decoupling)
    coefficients, slopes = _solve(game)
    warn_where_goals_are_projected(game, coefficients * slopes)
    return coefficients, slopes


def _solve(game: Decoupling) -> tuple[Array, Array]:
    """`solve_decoupling` without a warning where the projection of goals binds, as it may."""
    coefficients, slopes = np.empty((2, game.episodes))
    squares = outputs = 0.0
    for n in reversed(range(game.episodes)):
        decision = Decision(game, n, squares, outputs)
        coefficients[n], slopes[n] = action = decision.best()
        squares, outputs = decision.unit_sums_before(*action)
    return coefficients, slopes


class DecouplingOracle(GameAgent):
    """Plays the coefficients and slopes of the equilibrium."""

    def __init__(self, game: Decoupling) -> None:
        super().__init__(game)
        self.actions = np.column_stack(_solve(game))

    def _act(self, rows: Array, episode: Integers, memory: Any, begins: Booleans) -> tuple[Array, Any]:
        return self.actions[episode], None
