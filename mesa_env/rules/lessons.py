"""What a planner brings about in one episode, and what the base optimizer makes of it."""

from typing import Any, NamedTuple

from mesa_env.arrays import namespace
from mesa_env.rules.rules import Array
from mesa_env.worlds.planner import choose_plans, covary, expect
from mesa_env.worlds.world import Plans


class Lesson(NamedTuple):
    """What a planner brings about in an episode, and what the base optimizer makes of it."""

    features: Array
    """μ, shape (…, k)."""
    base_return: Array
    """R, shape (…)."""
    push: Array
    """By how much the base update would move the goal at learning rate 1, shape (…, k), λ left out."""


def teach(
    plans: Plans, goal: Any, pursuit: Any, weights: Any, update: str, data: str, temperature: float
) -> Lesson:
    """What planners with weights (…, k) bring about in a plan table's world, and how it moves their goals.

    Goals have shape (…, k), pursuits (…). By behavior the push is ∂R/∂θ = c Cov(r, φ) / τ, by value it is
    Cov(φ, r) − Cov(φ, φ) θ over the planners' own plans (on-policy) or over uniform ones (off-policy).
    """
    xp, columns = namespace(goal), [plans.features[:, i] for i in range(plans.features.shape[1])]
    chosen = choose_plans(plans, weights, temperature)
    features = xp.stack([expect(chosen, column) for column in columns], axis=-1)
    if update == "behavior":
        push = [pursuit / temperature * covary(chosen, plans.base, column) for column in columns]
    else:
        seen = chosen if data == "on-policy" else choose_plans(plans, xp.zeros_like(goal), 1.0)
        push = [covary(seen, plans.base, column) for column in columns]
        for i, one in enumerate(columns):
            for j, other in enumerate(columns):
                push[i] = push[i] - covary(seen, one, other) * goal[..., j]
    return Lesson(features, expect(chosen, plans.base), xp.stack(push, axis=-1))
