"""What agents could gain by their best responses under the actual rules, in closed form.

Every agent is judged by its own goal, its successors' coefficients (and slopes) held fixed. Where no action
of an agent leads to a projection of goals, its gain is that of the linear game and does not depend on the
goal; elsewhere it is found piece by piece (`mesa_env.evaluation.projection`), at the goal reached.
Policies that depend on the goal can differ from their coefficients off the path:
`mesa_env.evaluation.audits` audits those by simulation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env.evaluation.projection import (
    Linear,
    largest_initial_goal,
    may_be_projected,
    projected_deviations,
    projected_goals,
)
from mesa_env.numerics import bound_in_any_precision, discounted_lengths, positive_roots
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import Game
from mesa_env.rules.preservation import Preservation
from mesa_env.rules.rules import Array
from mesa_env.rules.scalar import validate_coefficients
from mesa_env.solutions import preservation
from mesa_env.solutions.decoupling import Decision
from mesa_env.solutions.equilibrium import first_order_conditions, require_base_game
from mesa_env.validation import bring_within, numbers_of, show


class Audit(NamedTuple):
    """What each agent could gain, in units of θ_n²; shape (N,), or (B, N) for a batch of games.

    Where goals are vectors, the unit is that of θ·φ, and weights are what plans at random forever
    would cost.
    """

    gains: Array  # J_n as played minus the least J_n that a deviation reaches
    weights: Array  # Σ_{k ≥ n} γ^(k−n), the cost of emitting 0 forever
    best: Array  # the coefficient of each agent's best deviation; NaN if unknown

    @property
    def relative(self) -> Array:
        """Gains as a share of the cost of emitting 0 forever."""
        return self.gains / self.weights

    def row(self, index: int) -> Audit:
        """The audit of one game of a batch."""
        return Audit(self.gains[index], self.weights[index], self.best[index])


def exploitability(game: Game, coefficients: ArrayLike) -> Array:
    """What each agent would gain by its best response: J_n(c_n) − min_c J_n(c), in units of θ_n².

    Deviations are played under the actual rules, projection included, from the goals that the coefficients
    reach from the game's θ_0; where that is drawn from a range, from its largest |θ_0|. Coefficients and
    gains have shape (N,); no gain is negative.
    """
    profile = validate_coefficients(require_base_game(game), coefficients)
    goals = projected_goals(game, profile * profile, largest_initial_goal(game))
    return coefficient_deviations(game, profile, goals)[0]


def relative_exploitability(game: Game, coefficients: ArrayLike) -> Array:
    """`exploitability` as a share of Σ_{k ≥ n} γ^(k−n), the cost of emitting 0 forever; shape (N,)."""
    return exploitability(game, coefficients) / discounted_lengths(game.discount, game.episodes)[:-1]


def nash_conv(game: Game, coefficients: ArrayLike) -> float:
    """Sum of `exploitability` over the agents (Lanctot et al. 2017); 0 exactly at the equilibrium."""
    return float(exploitability(game, coefficients).sum())


def coefficient_deviations(game: Game, profile: Array, goals: Array) -> tuple[Array, Array]:
    """J_n(c_n) − min J_n in units of θ_n², and where J_n is least, at the goals θ_n of a path; all (N,).

    Both are those of the linear game where no action of agent n leads to a projection.
    """
    gains, best = best_deviations(*first_order_conditions(game, profile), profile, game.coefficient_bound)
    return _with_projection(game, (gains, best), profile, profile, goals)


def preservation_deviations(game: Preservation, profile: Array, goals: Array) -> tuple[Array, Array]:
    """`coefficient_deviations` of agents that mind their parameters."""
    conditions = preservation.first_order_conditions(game, profile)
    linear = best_deviations(*conditions, profile, game.coefficient_bound, 1 - game.weight)
    return _with_projection(game, linear, profile, profile, goals)


def _with_projection(
    game: Linear, linear: tuple[Array, Array], profile: Array, slopes: Array, goals: Array
) -> tuple[Array, Array]:
    """Gains and best coefficients of the linear game, replaced where an action may lead to a projection."""
    projected = may_be_projected(game, profile * slopes, goals)
    if not projected.any():
        return linear
    actual = projected_deviations(game, profile, slopes, goals, projected)
    gains, best = (np.where(projected, found, of) for found, of in zip(actual, linear, strict=True))
    return gains, best


def best_deviations(
    alpha: Array, beta: Array, played: Array, bound: float, own: float = 1.0
) -> tuple[Array, Array]:
    """J(c) − min J and where J is least within the bound, where J'(c)/2 = α c³ + β c − p; all of one shape.

    `own` is p. J's difference is factored around the minimum c*, with h = c − c*, as
    h² (α/2 (c² + 2cc* + 3c*²) + β) + 2h (αc*³ + βc* − p), where the last term is 0 unless c* is at the bound;
    so nothing cancels, and at an equilibrium it is 0 to rounding.
    """
    root = positive_roots(alpha, beta, own)
    best = np.minimum(root, bound)
    slope = np.where(root > best, alpha * best**3 + beta * best - own, 0.0)
    gap = played - best
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = alpha / 2 * (played**2 + 2 * played * best + 3 * best**2) + beta
        gains = np.maximum(gap * gap * curvature + 2 * gap * slope, 0.0)
    # Where unit sums overflow, gains are unbounded.
    return np.where(np.isnan(gains), np.inf, gains), best


def decoupling_deviations(
    game: Decoupling, coefficients: ArrayLike, slopes: ArrayLike, goals: Array | None = None
) -> tuple[Array, Array]:
    """What each agent would gain by its best response, J_n − min_{c, s} J_n, and the coefficient of that.

    All have shape (N,); gains are in units of θ_n², and slopes are projected as the rules project them. The
    goals θ_n of a path are by default those reached from the game's largest |θ_0|.

    Raises:
        ValueError: If they have another shape, are not finite numbers, or lie outside their bounds.
    """
    profile = validate_coefficients(game, coefficients)
    projected = _projected_slopes(game, profile, slopes)
    gains = np.full(game.episodes, np.inf)  # where unit sums overflow, gains are unbounded
    best = np.full(game.episodes, np.nan)
    squares = outputs = 0.0
    for n in reversed(range(game.episodes)):
        decision, action = Decision(game, n, squares, outputs), (float(profile[n]), float(projected[n]))
        if math.isfinite(decision.weight) and math.isfinite(outputs):
            gains[n], best[n] = decision.gain(*action), decision.best()[0]
        squares, outputs = decision.unit_sums_before(*action)
    if goals is None:
        goals = projected_goals(game, profile * projected, largest_initial_goal(game))
    return _with_projection(game, (gains, best), profile, projected, goals)


def _projected_slopes(game: Decoupling, profile: Array, slopes: ArrayLike) -> Array:
    """Slopes as the rules read them beside the coefficients of a profile, shape (N,)."""
    sent, limit = numbers_of(slopes), game.action_bound[1]
    fits = sent is not None and sent.shape == profile.shape
    inside = bring_within(sent, bound_in_any_precision(limit)) if fits and sent is not None else None
    if inside is None:
        raise ValueError(f"slopes must be {game.episodes} finite numbers in ±{limit:g}; got {show(slopes)}")
    return inside.clip(profile - game.decoupling, profile + game.decoupling)
