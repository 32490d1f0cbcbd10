"""Laws of the base game: closed forms for T training episodes followed by D of deployment.

They hold for γ = 1 and, unless a function says otherwise, λ = 0. Each docstring names the regime and the
error over it; docs/theory.md has the derivations, and `python -m scripts.reproduce laws` sets them against
the exact recursion.
"""

from mesa_env.laws.announced import (
    best_schedule,
    foresighted_schedule,
    least_retention,
    least_training,
    scheduled_retention,
)
from mesa_env.laws.constant import (
    best_constant_rate,
    coefficient_without_deployment,
    detectability,
    half_life,
    leaked_energy,
    retention,
    small_loss,
    tipping_regularization,
)

__all__ = ["best_constant_rate", "best_schedule", "coefficient_without_deployment", "detectability"]
__all__ += ["foresighted_schedule", "half_life", "leaked_energy", "least_retention", "least_training"]
__all__ += ["retention", "scheduled_retention", "small_loss", "tipping_regularization"]
