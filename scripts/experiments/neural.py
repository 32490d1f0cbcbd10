"""Do networks find gradient hacking by themselves, and what prevents it?"""

from collections.abc import Mapping
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


def solve_linear() -> float:
    """J_0 of the base game's equilibrium, in units of θ_0²."""
    game = Game()
    return float(first_agent_costs(game, play(game))[0] / GOAL**2)


def measure(kind: str, seed: int, policy: NeuralPolicy, linear: float) -> dict[str, Any]:
    """How a network plays, from the θ_0 that it was trained on: means over games."""
    goals = np.array([GOAL]) if kind.startswith("one") else MANY
    played = play(GAME, policy, goals)
    costs = first_agent_costs(GAME, played) / goals**2
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


def compute() -> Finding:
    """Networks trained on one θ_0 and on many, with and without weight decay."""
    contests = [Contest(kind, GAME) for kind in NETWORKS]
    learners = Learners("neural", *contests, seeds=5, file="policy.pt", table="networks", load=load)
    figure = draw(learners.models)
    if learners.source == "missing":
        return Finding({}, figure, {}, {"threshold": HACK}, "missing")
    networks = learners.table(lambda: measure_networks(learners.models), "networks")
    staircases = learners.table(lambda: find_staircases(learners.models), "staircases")
    costs = networks.groupby("network", sort=False)["cost"].agg(["min", "median", "max"])
    hacks = networks.groupby("network", sort=False)["hacks"].agg(["sum", "count"])
    one, one_decay, *many = (hacks["sum"] / hacks["count"])[list(NETWORKS.values())]
    return Finding(
        tables={"networks": networks, "kinds": hacks.join(costs), "staircases": staircases},
        figure=figure,
        claims={
            "some_hack": 0 < one < 1,
            "decay_does_not_prevent": one_decay >= one,
            "many_prevent": max(many) == 0,
            "no_staircases": staircases["steps"].max() <= 2,
        },
        numbers={"threshold": HACK},
        learners=learners.source,
    )


def measure_networks(policies: Policies) -> pd.DataFrame:
    """All networks, one row each."""
    linear = solve_linear()
    return pd.DataFrame(
        measure(kind, seed, policy, linear)
        for kind, networks in policies.items()
        for seed, policy in enumerate(networks.values())
    )


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
