"""The maximum-entropy planner of a world, and how what it brings about moves with its goal.

With goal w and temperature τ it follows each plan j of a table with probability

    p_w(j) ∝ ways_j exp(w·φ_j / τ),

so that among plans of equal worth none is preferred. It brings about the features μ(w) = E φ and the base
return R(w) = E r, and gradients are covariances, as in the Price equation:

    ∂R/∂w = Cov(r, φ) / τ,      ∂μ/∂w = Cov(φ, φ) / τ.

The second, times τ⁻¹, is also the Fisher information of one plan about the weights of whoever chose it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env.arrays import namespace
from mesa_env.numerics import Array
from mesa_env.validation import numbers_of, show, validate_number
from mesa_env.worlds.world import Plans


class Planned(NamedTuple):
    """What a planner brings about: expectations over its plans, for one goal (k,) or for a batch (…, k)."""

    features: Array
    """μ(w) = E φ, shape (…, k)."""
    base: Array
    """R(w) = E r, shape (…)."""
    gradient: Array
    """∂R/∂w = Cov(r, φ) / τ, shape (…, k)."""
    covariance: Array
    """Cov(φ, φ), shape (…, k, k)."""
    probabilities: Array
    """Of each outcome of the table, shape (…, M)."""


def plan(plans: Plans, weights: ArrayLike, temperature: float = 1.0) -> Planned:
    """Plan for a goal, or for each of a batch of goals.

    Args:
        plans: The plan table of a world.
        weights: Goals w, shape (k,) or (…, k).
        temperature: τ > 0, in the unit of w·φ.

    Raises:
        TypeError: If `plans` is no plan table.
        ValueError: If weights are not finite numbers, one for each feature, or the temperature is not
            positive.
    """
    if not isinstance(plans, Plans):
        raise TypeError(f"plans must be a plan table, as World.plans returns; got {show(plans)}")
    goals, count = numbers_of(weights), plans.features.shape[1]
    if goals is None or not goals.ndim or goals.shape[-1] != count or not np.isfinite(goals).all():
        raise ValueError(
            f"weights must be finite numbers, one for each of {count} features; got {show(weights)}"
        )
    tau = validate_number("temperature", temperature, high=1e300, above=0.0)
    largest = float(np.abs(goals).max(initial=0.0)) * float(np.abs(plans.features).max()) * count
    if not np.isfinite(largest / tau):
        raise ValueError(f"weights over temperature must stay finite; got {show(weights)} and {tau:g}")
    probabilities = choose_plans(plans, goals, tau)
    columns = [plans.features[:, i] for i in range(count)]
    features = np.stack([expect(probabilities, column) for column in columns], axis=-1)
    gradient = np.stack([covary(probabilities, plans.base, column) for column in columns], axis=-1) / tau
    rows = [[covary(probabilities, one, other) for other in columns] for one in columns]
    covariance = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return Planned(features, expect(probabilities, plans.base), gradient, covariance, probabilities)


# -- Functions of arrays in any library, whose rows are computed alike in a batch of any size ---------------


def choose_plans(plans: Plans, goals: Any, temperature: float) -> Any:
    """Probabilities p_w(j) of the plans of a table, for goals w of shape (…, k); shape (…, M)."""
    xp = namespace(goals)
    scores = table(plans.log_ways, goals)
    for i in range(plans.features.shape[1]):
        scores = scores + (goals[..., i] / temperature)[..., None] * table(plans.features[:, i], goals)
    odds = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    return odds / xp.sum(odds, axis=-1, keepdims=True)


def expect(probabilities: Any, values: Array) -> Any:
    """E v for plans of probabilities (…, M) and values (M,); shape (…)."""
    return namespace(probabilities).sum(probabilities * table(values, probabilities), axis=-1)


def covary(probabilities: Any, first: Array, second: Array) -> Any:
    """Cov(v, u) of two values (M,) of plans of probabilities (…, M); shape (…)."""
    away = [
        table(values, probabilities) - expect(probabilities, values)[..., None] for values in (first, second)
    ]
    return namespace(probabilities).sum(probabilities * away[0] * away[1], axis=-1)


def table(values: Array, like: Any) -> Any:
    """Numbers of a plan table as an array of the library of another one."""
    return values if isinstance(like, np.ndarray | np.generic) else namespace(like).asarray(np.array(values))
