"""What every game must answer, and the base update that all of them share."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def base_update(goal: Any, product: Any, rate: Any, regularization: Any, bound: Any) -> Any:
    """One step of the base optimizer on (cθ)² + λθ²: θ' = θ (1 − 2η (c ∂y/∂θ + λ)), projected; elementwise.

    Args:
        goal: θ, any shape, in any array library that follows the array API standard.
        product: c ∂y/∂θ, which is c² for a policy y = cθ.
        rate: η.
        regularization: λ.
        bound: Goals are projected onto [−bound, bound].

    Returns:
        θ', of `goal`'s shape.
    """
    contraction = (product + regularization) * (-2 * rate) + 1.0
    return array_namespace(goal).clip(contraction * goal, -bound, bound)
