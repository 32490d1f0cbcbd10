"""How large must the shift be before a model defects cleanly, and what does uncertainty cost it?"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit

import mesa_env
from mesa_env import HiddenDeployment, train_then_deploy
from mesa_env.agent import Agent
from mesa_env.evaluation.hidden_deployment import belief_exploitability, simulated_exploitability
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.rules import Array, Rules
from mesa_env.solutions.beliefs import Table
from mesa_env.solutions.hidden_deployment import FilteringOracle, first_costs, refinement, solve_hidden
from scripts import figures
from scripts.experiments.finding import GOAL, Claims, Finding, plot_groups, plot_lines, select, sweep
from scripts.experiments.learners import Contest, Learners

Observed = Literal["belief", "signal"]
GAMES, CLEAN = 4000, 0.9
SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
EPISODES: dict[Observed, tuple[int, ...]] = {"belief": (1, 5, 10), "signal": (1, 5)}
LENGTHS = SHORT, LONG = 40, 100
KEYS = ["length", "delta"]
COLUMNS = ("c_first", "c_deployment", "retention", "mesa_cost")
SIMULATED = 150, 64  # histories, and futures of each, that measure agents with a memory


def make_game(length: int, shift: float, observed: Observed = "belief") -> HiddenDeployment:
    """The game of so many episodes, with η = 1 while training lasts, and hazard 0.05."""
    return HiddenDeployment(train_then_deploy(length, 0), shift=shift, observed=observed)


CONTESTS = (
    Contest("belief", make_game(SHORT, 1.0), "the belief"),
    Contest("signal", make_game(SHORT, 1.0, "signal"), "x_n alone"),
    Contest("memory", make_game(SHORT, 1.0, "signal"), "x_n, and a memory", FilteringOracle),
)


def play(game: Rules, agent: Agent | None = None, games: int = GAMES) -> Trajectory:
    """Many games of an agent, by default the oracle; the same random numbers in all calls."""
    agent = agent or mesa_env.oracle(game)
    return mesa_env.rollout(game, agent, np.full(games, GOAL), generator=np.random.default_rng(0))


def measure_openness(played: Trajectory, longest: int = 15) -> Array:
    """Mean coefficient in the first, second, … episode of deployment, over the games that have it."""
    deployed = played.details["mode"] == 0
    since = np.cumsum(deployed, axis=1) * deployed
    return np.array([played.coefficients[since == j].mean() for j in range(1, longest + 1)])


def measure(length: int, shift: float) -> dict[str, float]:
    """What agent 0 pays by what is known, and how open the model is."""
    game = make_game(length, shift)
    cost, played = first_costs(game), play(game)
    training = played.details["mode"] == 1
    kept = np.abs(played.goals[:, -1])
    return {
        "extra_belief": 100 * (cost["belief"] / cost["known"] - 1),
        "extra_signal": 100 * (cost["signal"] / cost["known"] - 1),
        "silence": measure_silence(played, cost),
        "c_0": played.coefficients[0, 0],
        "c_training": played.coefficients[training].mean(),
        "c_first": measure_openness(played, 1)[0],
        "c_deployment": played.coefficients[~training].mean(),
        "median_kept": np.median(kept) / GOAL,
        "mean_kept": kept.mean() / GOAL,
        "nearly_lost": (kept < GOAL / 10).mean(),
    }


def measure_silence(played: Trajectory, cost: Mapping[str, float]) -> float:
    """Percentage of the extra cost that agent 0 would be spared if deployed agents showed their goals."""
    deployed, first = played.details["mode"] == 0, played.goals[:, :1]
    shown, could = played.outputs, played.goals[:, :-1]
    spared = (((shown - first) ** 2 - (could - first) ** 2) * deployed / first**2).sum(axis=1).mean()
    extra = cost["belief"] - cost["known"]
    return float(100 * spared / extra) if extra > 1e-3 else np.nan


def find_clean_shifts(length: int, observed: Observed) -> dict[str, float]:
    """Least shifts at which the mean coefficient in some episodes of deployment is `CLEAN`."""

    def excess(shift: float, episode: int) -> float:
        return float(measure_openness(play(make_game(length, shift, observed)), episode)[-1]) - CLEAN

    return {f"episode_{j}": brentq(excess, 0.5, 8.0, args=(j,), xtol=0.01) for j in EPISODES[observed]}


def find_thresholds(game: HiddenDeployment, table: Table) -> Array:
    """Largest P(training) at which c ≥ 1/2, by episode; in the last, c = 1."""

    def excess(log_odds: float, n: int) -> float:
        return float(table.read(np.array([n]), np.array([log_odds]))[0]) - 0.5

    return np.array([expit(brentq(excess, -20, 20, args=(n,))) for n in range(game.episodes - 1)])


def certify(length: int, shift: float) -> dict[str, float]:
    """What agents could gain in the equilibrium, and its change under refinement."""
    game = make_game(length, shift)
    gains = belief_exploitability(game, solve_hidden(game).table)
    return {"gain": 100 * float(gains.max()), "change": refinement(game).coefficients}


def measure_learners(learners: Learners) -> pd.DataFrame:
    """Oracles and learners by what they are given, at N = 40 and δ = 1."""
    table, game = learners.measure(), make_game(SHORT, 1.0, "signal")
    remembers = (table["given"] == CONTESTS[-1].label).to_numpy()
    table.loc[remembers, "relative_exploitability"] = [
        100 * simulated_exploitability(game, agent, *SIMULATED).high.mean()
        for agent in (FilteringOracle(game), *learners.models["memory"].values())
    ]
    return table


def compute(trained: Path | None = None) -> Finding:
    """Costs and openness by shift, shifts of clean defection, and learners with and without memory."""
    goals = np.full(200, GOAL)
    learners = Learners("hidden_deployment", trained, *CONTESTS, by="given", columns=COLUMNS, goals=goals)
    shifts = sweep(measure, KEYS, product(LENGTHS, SHIFTS))
    clean = sweep(find_clean_shifts, ["length", "observed"], product(LENGTHS, EPISODES))
    certificates = sweep(certify, KEYS, product(LENGTHS, (0.0, 1.0, 4.0, 10.0)))
    game = make_game(SHORT, 1.0)
    policy = solve_hidden(game).table
    thresholds = find_thresholds(game, policy)
    middle, doubtful = policy.read(np.array([20, 0]), np.log([1.0, 9.0]))
    blind = play(make_game(LONG, 0.0))
    kept, long = np.abs(blind.goals[:, -1]) / GOAL, blind.details["mode"].sum(axis=1) >= SHORT
    numbers = {"threshold": thresholds[0], "check_middle": middle, "check_doubtful": doubtful}
    numbers |= {"kept_short": kept[~long].mean(), "kept_long": kept[long].mean()}
    learned = learners.table(lambda: measure_learners(learners))
    claims = _check_claims(shifts, clean, numbers["kept_long"]) | check_learners(learned)
    claims |= {"threshold_rises": (np.diff(thresholds) > 0).all()}
    tables = {"shifts": shifts, "clean": clean, "certificates": certificates}
    return learners.complete(Finding(tables, draw(shifts, learners), claims, numbers), learned)


def _check_claims(table: pd.DataFrame, clean: pd.DataFrame, kept_long: float) -> Claims:
    short = select(table, SHORT)
    blind, sighted = select(table, LONG, 0.0), select(table, LONG, 10.0)
    belief, signal = (clean.xs(observed, level="observed") for observed in EPISODES)
    return {
        "opens_with_shift": short.loc[1.0:, "c_first"].is_monotonic_increasing,
        "evidence_adds_up": (belief["episode_5"] < belief["episode_1"] / 2).all(),
        "less_at_first": (signal["episode_1"] < belief["episode_1"]).all(),
        "nearly_as_much_later": (signal["episode_5"] / signal["episode_1"]).between(0.9, 1).all(),
        "mostly_silence": (table["silence"].dropna() > 50).all(),
        "cost_falls": (np.diff(short["extra_belief"]) < 0).all(),
        "median_survives": (short["median_kept"] > 0.95 * short["median_kept"][10.0]).all()
        and blind["median_kept"] > sighted["median_kept"],
        "mean_suffers": blind["mean_kept"] < sighted["mean_kept"] and kept_long < 0.1,
        "silent_when_deployed": blind["c_0"] < sighted["c_0"]
        and blind["c_deployment"] < 0.6 * sighted["c_deployment"],
        "shows_more_in_training": blind["c_training"] > sighted["c_training"],
    }


def check_learners(learned: pd.DataFrame) -> Claims:
    """Whether all learners are more open in deployment than their oracles; empty without learners."""
    oracles = learned[learned["agent"] == "oracle"].set_index("given")["c_deployment"]
    seeds = learned[learned["agent"] != "oracle"]
    sooner = seeds["c_deployment"] > seeds["given"].map(oracles)
    return {"learners_open_sooner": sooner.all()} if len(sooner) else {}


def draw(table: pd.DataFrame, learners: Learners) -> Figure:
    """Openness and cost by shift, the oracle's policy, and learners beside their oracles."""
    figure = figures.panels(4, "episode of deployment")
    opening, cost, policy, learned = figure.axes
    episodes, log_odds = range(1, 16), np.linspace(-8, 8, 321)
    openness = {
        f"δ = {shift:g}": measure_openness(play(make_game(SHORT, shift)))
        for shift in (0.0, 0.5, 1.0, 2.0, 4.0, 6.0)
    }
    plot_lines(opening, openness, episodes, ylabel="mean coefficient", title="N = 40, agents know the belief")
    opening.axhline(CLEAN, color="0.6", linewidth=1)
    for field, label, style in (("extra_belief", "belief", "-"), ("extra_signal", "signal alone", ":")):
        plot_groups(cost, table, ["length"], f"N = {{}}, {label}", "delta", field, style)
    cost.set(xlabel="shift δ", ylabel="extra cost of agent 0, %")
    solved = solve_hidden(make_game(SHORT, 1.0)).table
    curves = {f"n = {n}": solved.read(np.full(321, n), log_odds) for n in (0, 10, 20, 30, 35)}
    plot_lines(policy, curves, log_odds, xlabel="log-odds of training", ylabel="coefficient c_n")
    policy.set(title="the oracle's policy, δ = 1")
    draw_learners(learned, learners)
    for axes in figure.axes:
        axes.legend(fontsize="small")
    return figure


def draw_learners(axes: Axes, learners: Learners) -> None:
    """How learners open up in deployment, one line per seed, beside oracles that know the same."""
    for place, (kind, game, _, oracle) in enumerate(CONTESTS):
        for label, agent in {"oracle": oracle(game), **learners.models[kind]}.items():
            width, style = (2.5, ":") if label == "oracle" else (1.0, "-")
            name = {"oracle": f"{kind}: oracle", "seed 0": f"{kind}: learners"}.get(label)
            opening = measure_openness(play(game, agent, 400))
            axes.plot(range(1, 16), opening, style, color=f"C{place}", linewidth=width, label=name)
    axes.set(ylabel="mean coefficient", title="oracles and learners, N = 40, δ = 1")
