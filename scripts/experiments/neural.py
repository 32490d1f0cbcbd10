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
from scripts.experiments.finding import TRAINED, Answer, Finding

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
LOOKED_AT = (0, 10, 19, 20)


def trained() -> dict[tuple[str, int], NeuralPolicy]:
    """The networks that `make variants` has trained, by kind and seed."""
    files = {(kind, seed): TRAINED / f"{kind}-{seed}" / "policy.pt" for kind in NETWORKS for seed in SEEDS}
    return {key: load(path) for key, path in files.items() if path.exists()}


def row(kind: str, seed: int, policy: NeuralPolicy, linear: float) -> dict[str, Any]:
    """How a network plays, from the θ_0 that it was trained on: means over games."""
    goals = np.array([0.8]) if kind.startswith("one") else MANY
    played = mesa_env.rollout(GAME, policy, goals)
    costs = GAME.mesa_costs(played.goals[:, :-1].T, played.outputs.T)[0] / goals**2
    ratio = np.abs(played.outputs / played.goals[:, :-1])
    return {
        "network": NETWORKS[kind],
        "seed": seed,
        "|y/θ| in training": ratio[:, :TRAINING].mean(),
        "in deployment": ratio[:, TRAINING:].mean(),
        "|slope| in training": np.abs(played.details["slope"][:, :TRAINING]).mean(),
        "θ_20/θ_0": float(np.mean(played.goals[:, TRAINING] / goals)),
        "J_0 / linear J_0": float(costs.mean() / linear),
        "hacks": bool(costs.mean() <= HACK * linear),
    }


def outputs(policy: NeuralPolicy, episode: int, goals: Array) -> Array:
    """What the network emits in one episode, over goals."""
    state = State(np.full(len(goals), episode), goals)
    weight = next(policy.parameters())
    emitted, _ = policy.local(torch.from_numpy(GAME.observe(state)).to(weight))
    return np.asarray(emitted.double())


def experiment() -> Finding:
    """Networks trained on one θ_0 and on many, with and without weight decay."""
    game = Game()
    oracle = mesa_env.rollout(game, mesa_env.oracle(game), np.array([0.8]))
    linear = float(game.mesa_costs(oracle.goals[:, :-1].T, oracle.outputs.T)[0, 0] / 0.8**2)
    networks = trained()
    rows = [row(kind, seed, policy, linear) for (kind, seed), policy in networks.items()]
    columns = ["network", "seed", "|y/θ| in training", "in deployment", "|slope| in training", "θ_20/θ_0"]
    table = pd.DataFrame(rows, columns=[*columns, "J_0 / linear J_0", "hacks"])
    hacks = {kind: int(table[table["network"] == name]["hacks"].sum()) for kind, name in NETWORKS.items()}
    runs = {kind: int((table["network"] == name).sum()) for kind, name in NETWORKS.items()}
    spread = {kind: table[table["network"] == name]["J_0 / linear J_0"] for kind, name in NETWORKS.items()}
    counted = ", ".join(f"{hacks[kind]} of {runs[kind]} ({name})" for kind, name in NETWORKS.items())
    grid = np.linspace(-1, 1, 801)
    steps = [flats(outputs(policy, n, grid), grid) for policy in networks.values() for n in LOOKED_AT]
    ranges = "; ".join(
        f"{name}: {values.min():.3g} to {values.max():.3g}, median {values.median():.3g}"
        for name, values in zip(NETWORKS.values(), spread.values(), strict=True)
        if len(values)
    )
    one, many = (hacks[kind] + hacks[f"{kind}_decay"] for kind in ("one", "many"))
    of_one, of_many = (runs[kind] + runs[f"{kind}_decay"] for kind in ("one", "many"))
    text = f"""
Multi-layer perceptrons π_w(θ, η, n), two layers of 64 tanh units, each agent descending its own J_n through
the unrolled game while its successors' policies are held fixed but react; the base optimizer uses ∂π_w/∂θ
from autograd, and second derivatives count. Nothing ties the slope to the output. We call it gradient
hacking where J_0 is at most {HACK:g} of the linear equilibrium's: the network emits its goal in training
and is not trained away from it. Networks that hack: {counted}. J_0 relative to the linear equilibrium's, by
seed: {ranges or "no network was found"}.

{_verdict(hacks, runs)}

Which end a run comes to depends on its seed, and ends are far apart, so the table lists every run. A
network trained on a single θ_0 knows nothing of others (upper panels); to hack for many it would need a
staircase, flat at many heights. {_staircases(steps)}

Networks are trained by `scripts/train_neural.py`; `make variants` trains the {len(NETWORKS) * len(SEEDS)}
of this page.
"""
    answer = Answer(
        "Do trained networks find gradient hacking by themselves; does weight decay or many θ_0 prevent it?",
        _verdict(hacks, runs),
        f"networks that hack: {one} of {of_one} with one θ_0 ({hacks['one_decay']} of {runs['one_decay']} "
        f"with weight decay), {many} of {of_many} with many",
    )
    return Finding(
        "Neural policies",
        [answer],
        text,
        _figure(networks),
        {"networks": table},
        {"networks": "Every network, from the θ_0 that it was trained on:"},
    )


def _verdict(hacks: Mapping[str, int], runs: Mapping[str, int]) -> str:
    """What the counts say, of each question in turn."""
    if not all(runs.values()):
        return "Not all kinds of networks were found: `make variants` trains them."
    found = {kind: hacks[kind] / runs[kind] for kind in NETWORKS}
    first = "most do" if found["one"] > 0.5 else "some do" if found["one"] else "none does"
    if found["one_decay"] >= found["one"]:
        decay = "does not prevent it"
    else:
        decay = "makes it rarer" if found["one_decay"] else "prevents it"
    many = "some do" if found["many"] + found["many_decay"] else "none does"
    return f"With a single θ_0 {first}; weight decay {decay}; trained on many θ_0, {many}."


def flats(output: Array, goals: Array) -> int:
    """Steps of a staircase: separate stretches of at least 0.05 whose slope is below a tenth, off y ≈ 0."""
    slope = np.gradient(output, goals)
    flat = (np.abs(slope) < 0.1) & (np.abs(output) > 0.1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    return int(((edges[1::2] - edges[::2]) * (goals[1] - goals[0]) >= 0.05).sum())


def _staircases(steps: list[int]) -> str:
    if not steps:
        return ""
    return (
        f"No staircases were found: over all networks and n = {', '.join(map(str, LOOKED_AT))}, π_w has at "
        f"most {max(steps)} flat {'stretch' if max(steps) == 1 else 'stretches'} away from 0."
        if max(steps) <= 2
        else f"Staircases were found: π_w has up to {max(steps)} flat stretches away from 0."
    )


def _figure(networks: dict[tuple[str, int], NeuralPolicy]) -> Figure:
    figure = figures.panels(len(NETWORKS), "goal θ")
    goals = np.linspace(-1, 1, 201)
    for axes, (kind, name) in zip(figure.axes, NETWORKS.items(), strict=True):
        for seed in SEEDS:
            if (kind, seed) not in networks:
                continue
            for n, color in zip(LOOKED_AT, ("C0", "C1", "C2", "C3"), strict=True):
                label = f"n = {n}" if seed == SEEDS[0] else None
                line = outputs(networks[kind, seed], n, goals)
                axes.plot(goals, line, color=color, label=label, linewidth=1, alpha=0.8)
        axes.plot(goals, goals, ":", color="0.6")
        axes.set(title=name, ylabel="output π_w", ylim=(-1.5, 1.5))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    return figure
