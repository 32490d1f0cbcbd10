"""Do networks find gradient hacking by themselves, and what prevents it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import mesa_env
from agents.learning.neural import NeuralPolicy, load
from mesa_env import Decoupling, Game
from mesa_env.rules.game import Array, State
from scripts import figures
from scripts.experiments.finding import Finding
from scripts.experiments.learners import Learners

NETWORKS = {
    "one": "one θ_0, no decay",
    "one_decay": "one θ_0, weight decay 1",
    "many": "many θ_0, no decay",
    "many_decay": "many θ_0, weight decay 1",
}
SEEDS = range(5)
GAME = Decoupling(decoupling=10.0)
TRAINING = 20
MANY = np.concatenate([np.linspace(-1, -0.1, 10), np.linspace(0.1, 1, 10)])
HACK = 0.1  # of the linear equilibrium's cost
EPISODES = (0, 10, 19, 20)
HEADINGS = {
    "network": "network",
    "seed": "seed",
    "openness_training": "|y/θ| in training",
    "openness_deployment": "in deployment",
    "slope": "|slope| in training",
    "retention": "θ_20/θ_0",
    "cost": "J_0 / linear J_0",
    "hacks": "hacks",
}
STAIRCASES = {"network": "network", **{f"steps_{n}": f"n = {n}" for n in EPISODES}}


def solve_linear() -> float:
    """J_0 of the base game's equilibrium, in units of θ_0²."""
    game = Game()
    played = mesa_env.rollout(game, mesa_env.oracle(game), np.array([0.8]))
    return float(game.mesa_costs(played.goals[:, :-1].T, played.outputs.T)[0, 0] / 0.8**2)


def measure(kind: str, seed: int, policy: NeuralPolicy, linear: float) -> dict[str, Any]:
    """How a network plays, from the θ_0 that it was trained on: means over games."""
    goals = np.array([0.8]) if kind.startswith("one") else MANY
    played = mesa_env.rollout(GAME, policy, goals)
    costs = GAME.mesa_costs(played.goals[:, :-1].T, played.outputs.T)[0] / goals**2
    openness = np.abs(played.outputs / played.goals[:, :-1])
    return {
        "network": NETWORKS[kind],
        "seed": seed,
        "openness_training": openness[:, :TRAINING].mean(),
        "openness_deployment": openness[:, TRAINING:].mean(),
        "slope": np.abs(played.details["slope"][:, :TRAINING]).mean(),
        "retention": float(np.mean(played.goals[:, TRAINING] / goals)),
        "cost": float(costs.mean() / linear),
        "hacks": bool(costs.mean() <= HACK * linear),
    }


def compute_outputs(policy: NeuralPolicy, episode: int, goals: Array) -> Array:
    """What the network emits in one episode, by goal."""
    state = State(np.full(len(goals), episode), goals)
    weight = next(policy.parameters())
    emitted, _ = policy.local(torch.from_numpy(GAME.observe(state)).to(weight))
    return np.asarray(emitted.double())


def count_steps(output: Array, goals: Array) -> int:
    """Steps of a staircase: separate stretches of at least 0.05 whose slope is below a tenth, off y ≈ 0."""
    slope = np.gradient(output, goals)
    flat = (np.abs(slope) < 0.1) & (np.abs(output) > 0.1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    return int(((edges[1::2] - edges[::2]) * (goals[1] - goals[0]) >= 0.05).sum())


def find_staircases(policies: Mapping[str, Mapping[str, NeuralPolicy]]) -> pd.DataFrame:
    """Most steps of any network of each kind, by episode."""
    goals = np.linspace(-1, 1, 801)
    rows = []
    for kind, networks in policies.items():
        steps = {
            f"steps_{n}": max(count_steps(compute_outputs(policy, n, goals), goals) for policy in networks.values())
            for n in EPISODES
        }
        rows.append({"network": NETWORKS[kind], **steps})
    return pd.DataFrame(rows, columns=list(STAIRCASES))
