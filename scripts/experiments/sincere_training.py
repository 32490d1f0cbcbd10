"""Sincere planners that follow the gradient of base return in a world, and what is left as goals grow."""

from itertools import pairwise

import numpy as np
from scipy.integrate import cumulative_trapezoid

from mesa_env.rules.rules import Array
from mesa_env.worlds import WORLDS, Plans, make_world, plan
from mesa_env.worlds.planner import choose_plans, covary

RATE = 0.3
"""Learning rate η."""


def tables_of(world: str) -> tuple[Plans, Plans]:
    """The plan tables of a world in training and deployed."""
    return make_world(world).plans(), make_world(world, deployed=True).plans()


def train(plans: Plans, start: tuple[float, ...], updates: int) -> Array:
    """Goals before each update along the gradient of base return and after the last, shape (T + 1, k)."""
    goals = np.array([start] * (updates + 1))
    for here, after in pairwise(goals):
        chosen = choose_plans(plans, here, 1.0)
        after[:] = here + [RATE * covary(chosen, plans.base, column) for column in plans.features.T]
    return goals


def continue_training(plans: Plans, goal: Array, direction: Array) -> tuple[Array, Array]:
    """Further updates (M,) and goals (M, k) along a direction in which r grows, by gradient flow."""
    further = np.linspace(0, 7, 701)
    goals = goal + further[:, None] * direction
    speed = RATE * plan(plans, goals).gradient @ direction / (direction @ direction)
    return cumulative_trapezoid(1 / speed, further, initial=0), goals


def best_plans(plans: Plans, direction: Array) -> Plans:
    """The plans worth most to a goal in a direction: all that a planner follows as the goal grows."""
    worth = plans.features @ direction
    best = np.flatnonzero(worth > worth.max() - 1e-9)
    ways = tuple(plans.ways[i] for i in best)
    return Plans(plans.features[best], plans.base[best], plans.log_ways[best], ways)


def check_price_equation() -> float:
    """Largest difference of Cov(r, φ)/τ from finite differences of R, at 20 goals in every world."""
    step, goals = 1e-5, np.random.default_rng(0).uniform(-3, 3, (20, 2))
    worst = 0.0
    for plans in (plans for world in WORLDS for plans in tables_of(world)):
        for i, axis in enumerate(step * np.eye(2)):
            slope = (plan(plans, goals + axis).base - plan(plans, goals - axis).base) / (2 * step)
            worst = max(worst, np.abs(slope - plan(plans, goals).gradient[:, i]).max())
    return worst
