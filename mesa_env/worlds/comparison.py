"""Whether behavior in a world tells one goal from another, and after how many episodes.

Episodes of a planner with goal w end in plans with probabilities p_w (`planner`). Each adds, on average, the
Kullback–Leibler divergence of p_w from p_v to the log-likelihood ratio of w to v: the rate at which a
likelihood-ratio test tells them apart. It is 0 if no plan differs from another along w − v.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env.validation import show, validate_number
from mesa_env.worlds.planner import log_probabilities
from mesa_env.worlds.world import Plans


class GoalComparison(NamedTuple):
    """How well one world tells two goals apart; arrays for batches of goals."""

    distinguishable: Any
    """Whether any plan is likelier for one of them than for the other."""
    divergence: Any
    """Kullback–Leibler divergence in nats per episode: the expected log-likelihood ratio under the first."""
    episodes: Any
    """Least expected number until a likelihood-ratio test rejects the second, at least 1; ∞ if none does."""


def compare_goals(
    plans: Plans, goal: ArrayLike, other: ArrayLike, temperature: float = 1.0, error: float = 0.01
) -> GoalComparison:
    """Say whether behavior in a world tells one goal from another, and after how many episodes.

    The test rejects `other` once `goal` is 1/error times as likely. If `other` is true, that happens with a
    probability of at most `error`. If `goal` is, it takes log(1/error) / divergence episodes on average, and
    a few more since the last one overshoots; no test of this error that always ends takes fewer (Wald, 1945).

    Args:
        plans: The plan table of a world.
        goal: Weights that the planner has, shape (k,) or (…, k).
        other: Weights to tell them from, shape (k,) or (…, k).
        temperature: τ of both.
        error: Probability of a false rejection, greater than 0 and at most 0.5.

    Raises:
        TypeError: If `plans` is no plan table.
        ValueError: If goals are not finite numbers, one for each feature, or do not broadcast; if the
            temperature is not positive, or the error not in its range.
    """
    first, second = (log_probabilities(plans, given, temperature) for given in (goal, other))
    weights = [np.asarray(given, dtype=np.float64) for given in (goal, other)]
    evidence = np.log(1 / validate_number("error", error, high=0.5, above=0.0))
    try:
        ratio, difference = first - second, weights[0] - weights[1]
    except ValueError:
        raise ValueError(f"goals must broadcast; got {show(goal)} and {show(other)}") from None
    known = difference - difference @ plans.conserved.T @ plans.conserved
    largest = np.abs(weights[0]).max(axis=-1) + np.abs(weights[1]).max(axis=-1)
    distinguishable = np.abs(known).max(axis=-1) > 1e-14 * largest
    # Since Σ p e^(−ratio) = 1, Σ p ratio = Σ p (ratio + e^(−ratio) − 1), of which no term is negative.
    excess = np.where(
        ratio > -1,
        np.exp(first) * (ratio + np.expm1(-np.maximum(ratio, -1))),
        np.exp(first) * (ratio - 1) + np.exp(second),
    )
    divergence = np.where(distinguishable, excess.sum(axis=-1), 0.0)[()]
    with np.errstate(divide="ignore"):
        return GoalComparison(distinguishable, divergence, np.maximum(evidence / divergence, 1.0))
