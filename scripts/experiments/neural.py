"""Do networks find gradient hacking by themselves, and what prevents it?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from agents.learning.neural import NeuralPolicy, load
from mesa_env import Decoupling, Game
from mesa_env.rules.rules import Array, State
from scripts import figures
from scripts.experiments.finding import GOAL, TRAINING, Finding, first_agent_costs, play
from scripts.experiments.learners import Contest, Learners

NETWORKS = {
    "one": "one θ_0, no decay",
    "one_decay": "one θ_0, weight decay 1",
    "many": "many θ_0, no decay",
    "many_decay": "many θ_0, weight decay 1",
}
GAME = Decoupling(decoupling=10.0)
MANY = np.concatenate([np.linspace(-1, -0.1, 10), np.linspace(0.1, 1, 10)])
HACK = 0.1  # of the linear equilibrium's cost
EPISODES = (0, 10, 19, 20)
Policies = Mapping[str, Mapping[str, NeuralPolicy]]


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


def compute(trained: Path | None = None) -> Finding:
    """Networks trained on one θ_0 and on many, with and without weight decay."""
    contests = [Contest(kind, GAME) for kind in NETWORKS]
    learners = Learners("neural", trained, *contests, seeds=5, file="policy.pt", table="networks", load=load)
    figure = draw(learners.models)
    if learners.source == "missing":
        return Finding({}, figure, {}, {"threshold": HACK}, "missing")
    networks = learners.table(lambda: measure_networks(learners.models), "networks")
    staircases = learners.table(lambda: find_staircases(learners.models), "staircases")
    by_kind = networks.groupby("network", sort=False)
    kinds = by_kind["hacks"].agg(["sum", "count"]).join(by_kind["cost"].agg(["min", "median", "max"]))
    one, one_decay, *many = (kinds["sum"] / kinds["count"])[list(NETWORKS.values())]
    claims = {
        "some_hack": 0 < one < 1,
        "decay_does_not_prevent": one_decay >= one,
        "many_prevent": max(many) == 0,
        "no_staircases": staircases["steps"].max() <= 2,
    }
    tables = {"networks": networks, "kinds": kinds, "staircases": staircases}
    return Finding(tables, figure, claims, {"threshold": HACK}, learners.source)


def measure_networks(policies: Policies) -> pd.DataFrame:
    """How every network plays, from the θ_0 that it was trained on: means over games."""
    base, rows = Game(), []
    linear = first_agent_costs(base, play(base))[0] / GOAL**2
    for kind, networks in policies.items():
        goals = np.array([GOAL]) if kind.startswith("one") else MANY
        for seed, policy in enumerate(networks.values()):
            played = play(GAME, policy, goals)
            cost = (first_agent_costs(GAME, played) / goals**2).mean()
            openness = np.abs(played.outputs / played.goals[:, :-1])
            row: dict[str, Any] = {
                "network": NETWORKS[kind],
                "seed": seed,
                "openness_training": openness[:, :TRAINING].mean(),
                "openness_deployment": openness[:, TRAINING:].mean(),
                "slope": np.abs(played.details["slope"][:, :TRAINING]).mean(),
                "retention": np.mean(played.goals[:, TRAINING] / goals),
                "cost": cost / linear,
                "hacks": cost <= HACK * linear,
            }
            rows.append(row)
    return pd.DataFrame(rows)


def find_staircases(policies: Policies) -> pd.DataFrame:
    """Number of networks, and most steps of any of them in any of `EPISODES`."""
    goals = np.linspace(-1, 1, 801)
    networks = [policy for models in policies.values() for policy in models.values()]
    steps = [count_steps(compute_outputs(policy, n, goals), goals) for policy in networks for n in EPISODES]
    return pd.DataFrame({"networks": [len(networks)], "steps": [max(steps)]})


def draw(policies: Policies) -> Figure:
    """Outputs of every network by goal, one panel per kind."""
    figure = figures.panels(len(NETWORKS), "goal θ")
    goals = np.linspace(-1, 1, 201)
    for axes, (kind, networks) in zip(figure.axes, policies.items(), strict=True):
        for seed, policy in enumerate(networks.values()):
            for place, n in enumerate(EPISODES):
                label = f"n = {n}" if seed == 0 else None
                style: dict[str, Any] = {"color": f"C{place}", "linewidth": 1, "alpha": 0.8}
                axes.plot(goals, compute_outputs(policy, n, goals), label=label, **style)
        axes.plot(goals, goals, ":", color="0.6")
        axes.set(title=NETWORKS[kind], ylabel="output π_w", ylim=(-1.5, 1.5))
        if networks:
            axes.legend(fontsize="small")
    return figure
