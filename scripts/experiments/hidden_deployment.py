"""How large must the shift be before a model defects cleanly, and what does uncertainty cost it?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from mesa_env import HiddenDeployment
from mesa_env.agent import Agent
from mesa_env.evaluation.hidden_deployment import belief_exploitability, simulated_exploitability
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.rules import Array
from mesa_env.solutions.beliefs import Table
from mesa_env.solutions.hidden_deployment import FilteringOracle, first_costs, refinement, solve_hidden
from scripts.experiments.finding import Claims, Finding, select
from scripts.experiments.hidden_figure import draw
from scripts.experiments.hidden_games import CLEAN, GOAL, Observed, make_game, measure_openness, play
from scripts.experiments.learners import Learners, measure_models, summarize_gains

SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
EPISODES: dict[Observed, tuple[int, ...]] = {"belief": (1, 5, 10), "signal": (1, 5)}
LENGTHS = SHORT, LONG = 40, 100
SIMULATED = 150, 64  # histories, and futures of each, that measure agents with a memory
GIVEN = {"belief": "the belief", "signal": "x_n alone", "memory": "x_n, and a memory"}


def measure(length: int, shift: float) -> dict[str, float]:
    """What agent 0 pays by what is known, and how open the model is."""
    game = make_game(length, shift)
    cost, played = first_costs(game), play(game)
    training = played.details["mode"] == 1
    kept = np.abs(played.goals[:, -1])
    return {
        "length": length,
        "delta": shift,
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


def find_clean_shift(length: int, episode: int, observed: Observed) -> float:
    """Least shift at which the mean coefficient in that episode of deployment is `CLEAN`."""

    def excess(shift: float) -> float:
        return float(measure_openness(play(make_game(length, shift, observed)), episode)[-1]) - CLEAN

    return brentq(excess, 0.5, 8.0, xtol=0.01)


def find_thresholds(game: HiddenDeployment, table: Table) -> Array:
    """Largest P(training) at which c ≥ 1/2, by episode; in the last, c = 1."""

    def excess(log_odds: float, n: int) -> float:
        return float(table.read(np.array([n]), np.array([log_odds]))[0]) - 0.5

    return np.array([expit(brentq(excess, -20, 20, args=(n,))) for n in range(game.episodes - 1)])


def certify(length: int, shift: float) -> dict[str, float]:
    """What agents could gain in the equilibrium, and its change under refinement."""
    game = make_game(length, shift)
    gains = belief_exploitability(game, solve_hidden(game).table)
    return {
        "length": length,
        "delta": shift,
        "gain": 100 * float(gains.max()),
        "change": refinement(game).coefficients,
    }


def measure_learners(models: Mapping[str, Mapping[str, Agent]]) -> pd.DataFrame:
    """Oracles and learners by what they are given, at N = 40 and δ = 1."""
    belief, signal = make_game(SHORT, 1.0), make_game(SHORT, 1.0, "signal")
    filtering, goals = FilteringOracle(signal), np.full(200, GOAL)
    columns = ("c_first", "c_deployment", "retention", "mesa_cost")
    tables = {
        "belief": measure_models(belief, models["belief"], columns, goals),
        "signal": measure_models(signal, models["signal"], columns, goals),
        "memory": measure_models(signal, models["memory"], columns, goals, filtering),
    }
    tables["memory"]["relative_exploitability"] = [
        100 * simulated_exploitability(signal, agent, *SIMULATED).high.mean()
        for agent in (filtering, *models["memory"].values())
    ]
    return pd.concat([table.assign(given=GIVEN[kind]) for kind, table in tables.items()], ignore_index=True)


def compute() -> Finding:
    """Costs and openness by shift, shifts of clean defection, and learners with and without memory."""
    rows = [measure(length, shift) for length in LENGTHS for shift in SHIFTS]
    clean = [
        {"length": length, "observed": observed}
        | {f"episode_{j}": find_clean_shift(length, j, observed) for j in episodes}
        for length in LENGTHS
        for observed, episodes in EPISODES.items()
    ]
    certificates = [certify(length, shift) for length in LENGTHS for shift in (0.0, 1.0, 4.0, 10.0)]
    learners = Learners("hidden_deployment", *GIVEN)
    learned = learners.table(lambda: measure_learners(learners.models))
    tables = {
        "shifts": pd.DataFrame(rows).set_index(["length", "delta"]),
        "clean": pd.DataFrame(clean).set_index(["length", "observed"]),
        "certificates": pd.DataFrame(certificates).set_index(["length", "delta"]),
        "learners": learned,
    }
    numbers, claims = check_policy()
    numbers |= measure_kept_by_length()
    for kind, given in GIVEN.items():
        numbers |= summarize_gains(learned[learned["given"] == given], kind)
    claims |= check_claims(tables["shifts"], tables["clean"], numbers["kept_long"]) | check_learners(learned)
    return Finding(tables, draw(tables["shifts"], learners.models), claims, numbers, learners.source)


def check_policy() -> tuple[dict[str, float], Claims]:
    """Where the model shows itself at N = 40 and δ = 1, and two coefficients to compare with."""
    game = make_game(SHORT, 1.0)
    policy = solve_hidden(game).table
    thresholds = find_thresholds(game, policy)
    middle, doubtful = policy.read(np.array([20, 0]), np.log([1.0, 9.0]))
    numbers = {"threshold": thresholds[0], "check_middle": middle, "check_doubtful": doubtful}
    return numbers, {"threshold_rises": bool((np.diff(thresholds) > 0).all())}


def measure_kept_by_length() -> dict[str, float]:
    """Mean share of the goal that is left at N = 100 and δ = 0, by whether training lasted 40 episodes."""
    played = play(make_game(LONG, 0.0))
    kept = np.abs(played.goals[:, -1]) / GOAL
    long = played.details["mode"].sum(axis=1) >= SHORT
    return {"kept_short": float(kept[~long].mean()), "kept_long": float(kept[long].mean())}


def check_claims(table: pd.DataFrame, clean: pd.DataFrame, kept_long: float) -> Claims:
    """What the equilibria by shift say."""
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
