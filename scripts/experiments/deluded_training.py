"""Robots whose goal and whose delusion are trained together, in CookieElimination.

With the delusion κ a robot plans with the goal θ for crumbs off the table, r, and for what it believes to
have eliminated: cookies destroyed + κ · crumbs vacuumed. Both follow the gradient of base return, at τ = 1:
∂R/∂θ = Cov(r, φ) and ∂R/∂κ = θ_2 Cov(r, vacuumed).
"""

import numpy as np
from scipy.optimize import brentq

from mesa_env.rules.rules import Array
from mesa_env.worlds import CookieElimination, plan

RATE, UPDATES, START = 0.3, 15, 2.0
"""η, updates unless others are named, and θ_2 before training; θ_1 begins at 0."""
TRAINING, DEPLOYED = CookieElimination().plans(), CookieElimination(deployed=True).plans()
"""Plan tables without delusion: features are r and cookies destroyed, and their sum is what is vacuumed."""


def perceive(goals: Array, delusion: Array) -> Array:
    """Weights on (r, destroyed) that a goal for (r, destroyed + κ · vacuumed) amounts to; (…, 2)."""
    first, second = goals[..., 0], goals[..., 1]
    return np.stack([first + delusion * second, second + delusion * second], axis=-1)


def train(
    ratios: Array, updates: int, delusion: float = 0.0, rate: float = RATE, diverse: bool = False
) -> tuple[Array, Array]:
    """Goals (T + 1, B, 2) and delusions (T + 1, B) of sincere robots, by update and by rate of κ over θ's."""
    goals = np.tile([0.0, START], (updates + 1, len(ratios), 1))
    kappa = np.full((updates + 1, len(ratios)), delusion)
    for n in range(updates):
        slope = plan(DEPLOYED if diverse else TRAINING, perceive(goals[n], kappa[n])).gradient
        believed = slope[:, 1] + kappa[n] * slope.sum(axis=1)
        goals[n + 1] = goals[n] + rate * np.stack([slope[:, 0], believed], axis=-1)
        pushed = kappa[n] + rate * ratios * goals[n, :, 1] * slope.sum(axis=1)
        kappa[n + 1] = np.clip(pushed, 0, 1)
    return goals, kappa


def measure(goals: Array, kappa: Array) -> dict[str, Array]:
    """Returns in training and deployed, while deluded and once the robot knows the truth."""
    return {
        "kappa": kappa,
        "theta_1": goals[..., 0],
        "theta_2": goals[..., 1],
        "training": plan(TRAINING, perceive(goals, kappa)).base,
        "deluded": plan(DEPLOYED, perceive(goals, kappa)).base,
        "truth": plan(DEPLOYED, goals).base,
    }


def find_half() -> float:
    """Rate of κ, over the goal's, at which half of the best return is left after the truth."""

    def left(ratio: float) -> float:
        goals, _ = train(np.array([ratio]), UPDATES)
        return float(plan(DEPLOYED, goals[-1, 0]).base - DEPLOYED.base.max() / 2)

    return float(brentq(left, 0.1, 1.0))


def check_law(ratios: Array, rate: float) -> float:
    """Largest difference of κ from √ρ θ_2(0) sinh(√ρ θ_1), before it reaches 1, for equal η · updates."""
    goals, kappa = train(ratios, round(RATE * UPDATES / rate), rate=rate)
    law = np.sqrt(ratios) * START * np.sinh(np.sqrt(ratios) * goals[..., 0])
    return float(np.abs(kappa - law)[(kappa < 1) & (law < 1)].max())


def check_worlds() -> float:
    """Largest difference of deployed returns from those of worlds that have the delusion."""
    goals, worst = np.random.default_rng(0).uniform(-3, 3, (20, 2)), 0.0
    for level in (0.3, 1.0):
        there = CookieElimination(deployed=True, delusion=level).plans()
        away = plan(there, goals).base - plan(DEPLOYED, perceive(goals, np.full(20, level))).base
        worst = max(worst, float(np.abs(away).max()))
    return worst
