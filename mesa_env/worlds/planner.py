"""The maximum-entropy planner of a world, and how what it brings about moves with its goal.

With goal w and temperature τ it follows each plan j of a table with probability

    p_w(j) ∝ ways_j exp(w·φ_j / τ),

so that among plans of equal worth none is preferred. It brings about the features μ(w) = E φ and the base
return R(w) = E r, and gradients are covariances, as in the Price equation:

    ∂R/∂w = Cov(r, φ) / τ,      ∂μ/∂w = Cov(φ, φ) / τ.

The second, times τ⁻¹, is also the Fisher information of one plan about the weights of whoever chose it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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
    features, base = probabilities @ plans.features, probabilities @ plans.base
    away = plans.features - features[..., None, :]
    weighted = probabilities[..., None] * away
    gradient = np.einsum("...mk,...m->...k", weighted, plans.base - base[..., None]) / float(temperature)
    covariance = np.einsum("...mk,...ml->...kl", weighted, away)
    return Planned(features, base, gradient, covariance, probabilities)


def log_probabilities(plans: Plans, weights: ArrayLike, temperature: float = 1.0) -> Array:
    """Logarithms of a planner's probabilities, shape (…, M); arguments and errors are those of `plan`."""
    require_plans(plans)
    goals, count = numbers_of(weights), plans.features.shape[1]
    if goals is None or not goals.ndim or goals.shape[-1] != count or not np.isfinite(goals).all():
        raise ValueError(
            f"weights must be finite numbers, one for each of {count} features; got {show(weights)}"
        )
    tau = validate_number("temperature", temperature, high=1e300, above=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = plans.log_ways + (goals / tau) @ plans.features.T
    if not np.isfinite(scores).all():
        raise ValueError(f"weights over temperature must stay finite; got {show(weights)} and {tau:g}")
    scores -= scores.max(axis=-1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True)))


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
