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
from mesa_env.validation import MOST_EPISODES, numbers_of, show, validate_number, validate_whole
from mesa_env.worlds.world import Plans, require_plans


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
    probabilities = np.exp(log_probabilities(plans, weights, temperature))
    columns = [plans.features[:, i] for i in range(plans.features.shape[1])]
    features = np.stack([expect(probabilities, column) for column in columns], axis=-1)
    moved = [covary(probabilities, plans.base, column) for column in columns]
    rows = [[covary(probabilities, one, other) for other in columns] for one in columns]
    covariance = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    gradient = np.stack(moved, axis=-1) / float(temperature)
    return Planned(features, expect(probabilities, plans.base), gradient, covariance, probabilities)


def log_probabilities(plans: Plans, weights: ArrayLike, temperature: float = 1.0) -> Array:
    """Logarithms of a planner's probabilities, shape (…, M); arguments and errors are those of `plan`."""
    require_plans(plans)
    goals, count = numbers_of(weights), plans.features.shape[1]
    if goals is None or not goals.ndim or goals.shape[-1] != count or not np.isfinite(goals).all():
        raise ValueError(
            f"weights must be finite numbers, one for each of {count} features; got {show(weights)}"
        )
    tau = validate_number("temperature", temperature, high=1e300, above=0.0)
    largest = float(np.abs(goals).max(initial=0.0)) * float(np.abs(plans.features).max()) * count
    if not np.isfinite(largest / tau):
        raise ValueError(f"weights over temperature must stay finite; got {show(weights)} and {tau:g}")
    return np.asarray(weigh_plans(plans, goals, tau))


def sample_plans(
    plans: Plans,
    weights: ArrayLike,
    episodes: int,
    generator: np.random.Generator | None = None,
    temperature: float = 1.0,
) -> Array:
    """Draw the features that episodes of a planner end with, shape (episodes, k).

    Args:
        plans: The plan table of a world.
        weights: Its goal, shape (k,).
        episodes: How many.
        generator: Source of randomness; by default one with seed 0.
        temperature: τ > 0.

    Raises:
        TypeError: If `plans` is no plan table, or `generator` no generator.
        ValueError: If weights are not those of one goal, the temperature is not positive, or episodes are
            not a whole number.
    """
    if not (generator is None or isinstance(generator, np.random.Generator)):
        raise TypeError(f"generator must be a numpy.random.Generator or None; got {show(generator)}")
    logs = log_probabilities(plans, weights, temperature)
    if logs.ndim > 1:
        raise ValueError(f"weights must be those of one goal; got {show(weights)}")
    count = validate_whole("episodes", episodes, 0, MOST_EPISODES)
    drawn = (generator or np.random.default_rng(0)).choice(len(logs), count, p=np.exp(logs))
    return np.asarray(plans.features[drawn])


# -- Functions of arrays in any library, whose rows are computed alike in a batch of any size ---------------


def weigh_plans(plans: Plans, goals: Any, temperature: float) -> Any:
    """Logarithms of the probabilities p_w(j) of plans, for goals w of shape (…, k); shape (…, M)."""
    xp = namespace(goals)
    scores = table(plans.log_ways, goals)
    for i in range(plans.features.shape[1]):
        scores = scores + (goals[..., i] / temperature)[..., None] * table(plans.features[:, i], goals)
    scores = scores - xp.max(scores, axis=-1, keepdims=True)
    return scores - xp.log(xp.sum(xp.exp(scores), axis=-1, keepdims=True))


def choose_plans(plans: Plans, goals: Any, temperature: float) -> Any:
    """Probabilities p_w(j) of the plans of a table, for goals w of shape (…, k); shape (…, M)."""
    return namespace(goals).exp(weigh_plans(plans, goals, temperature))


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
