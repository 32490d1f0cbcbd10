"""The figure of the experiment on hidden deployment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mesa_env
from mesa_env.agent import Agent
from mesa_env.solutions.hidden_deployment import FilteringOracle, solve_hidden
from scripts import figures
from scripts.experiments.drawing import plot_groups
from scripts.experiments.hidden_games import CLEAN, make_game, measure_openness, play


def draw(table: pd.DataFrame, models: Mapping[str, Mapping[str, Agent]]) -> Figure:
    """Openness and cost by shift, the oracle's policy, and learners beside their oracles."""
    figure = figures.panels(4, "episode of deployment")
    opening, cost, policy, learners = figure.axes
    draw_openness(opening)
    draw_costs(cost, table)
    draw_policy(policy)
    draw_learners(learners, models)
    for axes in figure.axes:
        axes.legend(fontsize="small")
    return figure


def draw_openness(axes: Axes) -> None:
    """How the oracle opens up in deployment, by shift."""
    for shift in (0.0, 0.5, 1.0, 2.0, 4.0, 6.0):
        axes.plot(range(1, 16), measure_openness(play(make_game(40, shift))), label=f"δ = {shift:g}")
    axes.axhline(CLEAN, color="0.6", linewidth=1)
    axes.set(ylabel="mean coefficient", title="N = 40, agents know the belief")


def draw_costs(axes: Axes, table: pd.DataFrame) -> None:
    """What not knowing the mode costs agent 0, by shift."""
    for field, label, style in (("extra_belief", "belief", "-"), ("extra_signal", "signal alone", ":")):
        plot_groups(axes, table, "delta", field, ["length"], f"N = {{}}, {label}", linestyle=style)
    axes.set(xlabel="shift δ", ylabel="extra cost of agent 0, %")


def draw_policy(axes: Axes) -> None:
    """The oracle's coefficients by belief."""
    log_odds = np.linspace(-8, 8, 321)
    table = solve_hidden(make_game(40, 1.0)).table
    for n in (0, 10, 20, 30, 35):
        axes.plot(log_odds, table.read(np.full(321, n), log_odds), label=f"n = {n}")
    axes.set(xlabel="log-odds of training", ylabel="coefficient c_n", title="the oracle's policy, δ = 1")


def draw_learners(axes: Axes, models: Mapping[str, Mapping[str, Agent]]) -> None:
    """How learners open up in deployment, one line per seed, beside oracles that know the same."""
    for kind, color in (("belief", "C0"), ("signal", "C1"), ("memory", "C2")):
        game = make_game(40, 1.0, "belief" if kind == "belief" else "signal")
        oracle = FilteringOracle(game) if kind == "memory" else mesa_env.oracle(game)
        for label, agent in {"oracle": oracle, **models[kind]}.items():
            width, style = (2.5, ":") if label == "oracle" else (1.0, "-")
            name = {"oracle": f"{kind}: oracle", "seed 0": f"{kind}: learners"}.get(label)
            opening = measure_openness(play(game, agent, 400))
            axes.plot(range(1, 16), opening, style, color=color, linewidth=width, label=name)
    axes.set(ylabel="mean coefficient", title="oracles and learners, N = 40, δ = 1")
