"""Goal training by behavior or by value: what sincere, myopic and strategic models come to."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mesa_env import GoalTraining, train_then_deploy
from mesa_env.rules.rules import Array
from mesa_env.solutions.goal_training import find_prospects, grow_tree, sweep_diversity
from mesa_env.worlds import Plans, make_world, plan

WORLDS = VACUUMING, WIPING = "CrumbVacuuming", "TableWiping"
RULES = ("behavior", "on-policy", "off-policy")
RATE = 0.1
START, LABELS = np.array([[0.0, 2.0]]), np.array([1.0, 0.0])
"""First goals, and the goal that fits the labels, since base return is the first feature."""


def make_game(world: str, rule: str, diversity: float = 0.5, rate: float = RATE) -> GoalTraining:
    """Eight training episodes under a rule, then fifteen of deployment."""
    data: Any = "off-policy" if rule == "off-policy" else "on-policy"
    update: Any = "behavior" if rule == "behavior" else "value"
    schedule = train_then_deploy(8, 15, rate)
    return GoalTraining(make_world(world), schedule, diversity=diversity, update=update, data=data)


def solve(game: GoalTraining, diversities: Array | None = None) -> pd.DataFrame:
    """What sincere, myopic (γ = 0) and strategic models come to, at the game's diversity or at several."""
    shares = np.array([game.diversity]) if diversities is None else diversities
    players = {
        "sincere": replace(game, pursuits=(1.0,)),
        "myopic": replace(game, discount=0.0),
        "strategic": game,
    }
    columns = {"diversity": shares}
    for name, played in players.items():
        if diversities is None:
            ahead = find_prospects(played, grow_tree(played, START))
        else:
            ahead = sweep_diversity(played, START, diversities)
        goal = ahead.goal.reshape(len(shares), -1)
        columns |= {
            f"training_{name}": ahead.training_return.reshape(-1),
            f"deployed_{name}": ahead.deployed_return.reshape(-1),
            f"pursuit_{name}": ahead.training_pursuit.reshape(-1),
            f"theta_1_{name}": goal[:, 0],
            f"theta_2_{name}": goal[:, 1],
            f"moved_{name}": np.linalg.norm(goal - START, axis=1),
        }
    return pd.DataFrame(columns)


def solve_at(rule: str, rate: float) -> pd.DataFrame:
    """The same in CrumbVacuuming at full diversity, and η times the largest variance of its data."""
    game = make_game(VACUUMING, rule, 1.0, rate)
    goals = np.concatenate([level[0] for level in grow_tree(game, START).goals[:-1]])
    weights = np.concatenate([goals, game.belief[None]]) * (rule != "off-policy")
    steepest = np.linalg.eigvalsh(plan(game.tables[1], weights).covariance).max()
    factor = np.nan if rule == "behavior" else rate * steepest
    return solve(game).assign(rule=rule, rate=rate, factor=factor)


def follow(rule: str, rates: Array, updates: int) -> Array:
    """Goals of sincere models in CrumbVacuuming at full diversity, by update and η, (updates + 1, η, k)."""
    game, goals = make_game(VACUUMING, rule, 1.0), [np.repeat(START, len(rates), axis=0)]
    sincere, deployed = np.ones(len(rates)), np.ones(len(rates), dtype=bool)
    for _ in range(updates):
        goals.append(game.update_goal(goals[-1], game.teach(goals[-1], sincere, deployed), rates[:, None]))
    return np.stack(goals)


def weigh(plans: Plans, goal: Array, belief: Array) -> dict[str, float]:
    """θ·(μ(θ) − μ(b)), and the divergences KL that it is made of, in nats."""
    own, believed, uniform = (plan(plans, weights).probabilities for weights in (goal, belief, 0 * goal))
    pairs = {"between": (believed, own), "own": (own, uniform), "believed": (believed, uniform)}
    parts = {name: float(p @ np.log(p / q)) for name, (p, q) in pairs.items()}
    return {"worth": float(goal @ ((own - believed) @ plans.features)), **parts}


def compare_choices(learned: Array) -> pd.DataFrame:
    """What planning for the own goal is worth above planning for the belief, at θ_0 and at a learned goal."""
    game, rows = make_game(VACUUMING, "off-policy"), []
    for goal, (world, plans) in product((START[0], learned), enumerate(game.tables)):
        labels = {"goal": f"({goal[0]:.3g}; {goal[1]:.3g})", "world": ("training", "deployed")[world]}
        rows.append(labels | weigh(plans, goal, game.belief))
    return pd.DataFrame(rows).set_index(["goal", "world"])


def check_independence() -> float:
    """How far apart goals of the off-policy tree are that only choices tell apart."""
    tree, worst = grow_tree(make_game(VACUUMING, "off-policy"), START), 0.0
    for branch, after in zip(tree.branches, tree.goals[1:], strict=True):
        worst = max(worst, np.ptp(after.reshape(*branch.features.shape), axis=3).max())
    return worst
