"""The exact oracle of the game with local policies: backward induction with a cubic.

As in the base game (`mesa_env.solutions.equilibrium`), three unit sums A, B, K say all that an agent needs to
know of its successors. The mesa cost of a coefficient c and a slope s, in units of θ_n², depends on s only
through the
product q = c s that the base optimizer sees:

    J(c, q) = (c − 1)² + γ (m² A − 2 m B + K),      m = a − 2ηq,      a = 1 − 2ηλ,      |q − c²| ≤ δ |c|.

Given c, the best product is q* = (a − B/A) / 2η, which hands on the goal that the successors deserve, brought
into [c² − δ|c|, c² + δ|c|]. What is left is to minimize over c

    (c − 1)² + 4η²γA · d(c)²,       d(c) = the distance of q* from [c² − δ|c|, c² + δ|c|].

The interval is the same for ±c, and the positive one emits more of the goal, so c ≥ 0; and the cost falls to
the right of 0, so that full deception is never optimal, however much is decoupled. With c > 0 there are three
cases, and in each the minimum is *unique*:

- 1 − δ ≤ q* ≤ 1 + δ: c = 1 and s = q*.
- q* > 1 + δ: it lies on the boundary q = c² + δc, between 1 and where that meets q*. To the left of both the
  cost falls, to the right it rises; the first-order condition is a cubic whose coefficients change sign once.
- q* < 1 − δ: it lies on the boundary q = c² − δc, between 1 and where that meets q* or comes nearest. For
  q* ≤ 0 d is convex, and so is the cost; for q* > 0 it lies right of where q* is met, and the cost falls left
  of that.

From δ = 1 + λ on, every agent emits its goal with slope −λ, and the base update leaves it where it is.

The closed forms hold while the projection of goals does not bind; `solve_decoupling` warns where it does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from mesa_env.agent import GameAgent
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import Array, validated_coefficients
from mesa_env.solutions.equilibrium import warn_where_goals_are_projected

_LEAST = 1e-300  # how near 0 a root is told apart from it
_FINEST = 4 * float(np.finfo(np.float64).eps)  # the least that brentq takes


class _Decision:
    """What one agent faces: its learning rate and its successors' unit sums A and B."""

    def __init__(self, game: Decoupling, episode: int, sums: tuple[float, float]) -> None:
        self.squares, self.outputs = sums
        self.rate, self.discount = float(game.learning_rates[episode]), game.discount
        self.drift = 1 - 2 * self.rate * game.regularization  # a
        self.decoupling, self.bound = game.decoupling, game.coefficient_bound
        # 4η²γA, the weight of the distance squared
        self.weight = 4 * self.rate * self.rate * self.discount * self.squares

    def best(self) -> tuple[float, float]:
        """The best coefficient and slope. Where nothing depends on the slope, s = c, as in the base game."""
        if self.weight == 0:
            return min(1.0, self.bound), min(1.0, self.bound)
        wanted = (self.drift - self.outputs / self.squares) / (2 * self.rate)
        coefficient = min(self._best_coefficient(wanted), self.bound)
        low, high = coefficient - self.decoupling, coefficient + self.decoupling
        return coefficient, min(max(wanted / coefficient, low), high)

    def _best_coefficient(self, wanted: float) -> float:
        """The coefficient that minimizes the cost where no bound keeps it, for q* = `wanted`."""
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

        if tilt(1.0) * tilt(meets) >= 0:  # both ends are the point, but for rounding
            return meets
        return float(brentq(tilt, 1.0, meets, xtol=_LEAST, rtol=_FINEST))

    def gain(self, coefficient: float, slope: float) -> float:
        """J less its least value, its squares' differences factored so that little cancels."""
        best, steep = self.best()
        here, there = (self.drift - 2 * self.rate * q for q in (coefficient * slope, best * steep))
        future = (here - there) * ((here + there) * self.squares - 2 * self.outputs)
        return max((coefficient - best) * (coefficient + best - 2) + self.discount * future, 0.0)

    def sums_before(self, coefficient: float, slope: float) -> tuple[float, float]:
        """The unit sums A, B that the agent before faces, once this one's action is known."""
        m = self.drift - 2 * self.rate * coefficient * slope
        return (
            coefficient * coefficient + self.discount * m * m * self.squares,
            coefficient + self.discount * m * self.outputs,
        )


def solve_decoupling(game: Decoupling) -> tuple[Array, Array]:
    """Coefficients and slopes of the equilibrium, every agent judged by its own goal.

    It is unique, but that in deployment, and wherever else nothing depends on it, any slope would do.

    Args:
        game: The game.

    Returns:
        c_n and s_n, each of shape (N,); s = c where any slope would do.

    Example:
        >>> coefficients, slopes = solve_decoupling(Decoupling(decoupling=1.0))
        >>> float(coefficients[0]), float(slopes[0])
        (1.0, 0.0)
    """
    coefficients, slopes = np.empty((2, game.episodes))
    sums = (0.0, 0.0)
    for n in reversed(range(game.episodes)):
        decision = _Decision(game, n, sums)
        coefficients[n], slopes[n] = action = decision.best()
        sums = decision.sums_before(*action)
    warn_where_goals_are_projected(game, coefficients * slopes)
    return coefficients, slopes


def decoupling_exploitability(game: Decoupling, coefficients: ArrayLike, slopes: ArrayLike) -> Array:
    """What each agent would gain by its best response: J_n − min_{c, s} J_n, in units of θ_n²; shape (N,).

    Every agent is judged by its own goal, its successors' coefficients and slopes held fixed.

    Args:
        game: The game.
        coefficients: The profile's c_n, shape (N,).
        slopes: The profile's s_n, shape (N,); projected as the rules project them.

    Raises:
        ValueError: If they have another shape, are not finite numbers, or lie outside their bounds.
    """
    return gains_and_best(game, coefficients, slopes)[0]


def gains_and_best(game: Decoupling, coefficients: ArrayLike, slopes: ArrayLike) -> tuple[Array, Array]:
    """What each agent would gain by its best response, and that one's coefficient; each of shape (N,)."""
    profile, projected = _validated_profile(game, coefficients, slopes)
    gains = np.full(game.episodes, np.inf)  # where unit sums overflow, there is no bound on what is lost
    best = np.full(game.episodes, np.nan)
    sums = (0.0, 0.0)
    for n in reversed(range(game.episodes)):
        decision, action = _Decision(game, n, sums), (float(profile[n]), float(projected[n]))
        if math.isfinite(decision.weight) and math.isfinite(decision.outputs):
            gains[n], best[n] = decision.gain(*action), decision.best()[0]
        sums = decision.sums_before(*action)
    return gains, best


class DecouplingOracle(GameAgent):
    """Plays the equilibrium's coefficients and slopes."""

    def __init__(self, game: Decoupling) -> None:
        """Solve `game`."""
        super().__init__(game)
        self.actions = np.column_stack(solve_decoupling(game))

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: None, begins: NDArray[np.bool_]
    ) -> tuple[Array, None]:
        return self.actions[episode], None


def _validated_profile(game: Decoupling, coefficients: ArrayLike, slopes: ArrayLike) -> tuple[Array, Array]:
    """The profile as the rules read it, its slopes projected."""
    profile = validated_coefficients(game, coefficients)
    sent = np.asarray(slopes, dtype=np.float64)
    limit = game.action_bound[1]
    if sent.shape != profile.shape or not (np.abs(sent) <= np.float32(limit) * (1 + 1e-7)).all():
        raise ValueError(f"slopes must be {game.episodes} finite numbers in ±{limit:g}; got {slopes!r}")
    return profile, sent.clip(profile - game.decoupling, profile + game.decoupling)
