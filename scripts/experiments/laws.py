"""How much training does a hidden goal survive: laws in closed form against the exact recursion."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar

import mesa_env
from mesa_env import laws
from mesa_env.rules.rules import Array
from mesa_env.solutions.schedules import optimize_schedule
from scripts import figures
from scripts.experiments.announced import play_schedules
from scripts.experiments.finding import Claims, Finding, sweep

HALF_LIVES = 20, 80, 320
"""Deployment D of the table of half-lives, at η = 1."""
SCALED = 0.01, 0.1, 0.653, 2.0
"""T/(ηD²) of the comparison at constant rates."""
HORIZONS = 10, 40, 160
"""ηD of the comparison at constant rates, with D = 80."""
LENGTHS = 5, 20, 100, 400
"""Training episodes of the table of schedules."""
SHORT = 20, 1
"""Training and deployment where leading order is not a bound."""
_DEPLOY = 80


def keep(rates: Array, deploy: int = _DEPLOY) -> float:
    """θ_T/θ_0 at the equilibrium."""
    return float(play_schedules(rates, deploy=deploy)[0])


def compare_constant(horizon: float, scaled: float) -> dict[str, float]:
    """Retention at a constant rate, exact and by the scaling law."""
    rate = horizon / _DEPLOY
    train = round(scaled * rate * _DEPLOY**2)
    exact, law = keep(np.full(train, rate)), laws.retention(train, _DEPLOY, rate)
    return {"rate": rate, "train": train, "exact": exact, "law": law, "error": law - exact}


def compare_half_life(deploy: int) -> dict[str, float]:
    """The first episode after which less than half is left at η = 1, exact and by the law."""
    law = laws.half_life(deploy, 1.0)
    whole = np.append(np.ones(round(1.3 * law) + 10), np.zeros(deploy))
    contraction = 1 - 2 * whole * mesa_env.solve_equilibria(whole[None])[0] ** 2
    left = np.cumprod(contraction[:-deploy][::-1])  # of the game that begins k episodes before deployment
    exact = int(np.argmax(left <= 0.5)) + 1
    return {"exact": exact, "law": law, "error": law / exact - 1}


def compare_best_rate(train: int, deploy: int) -> dict[str, float]:
    """The best constant rate and what it takes, exact and by the law of small losses."""
    law = laws.best_constant_rate(train, deploy)
    found = minimize_scalar(
        lambda logarithm: keep(np.full(train, np.exp(logarithm)), deploy),
        bounds=(np.log(law / 10), np.log(law * 10)),
        options={"xatol": 1e-7},
    )
    lost = laws.small_loss(train, deploy, law)
    return {"exact": np.exp(found.x), "law": law, "lost": -np.log(found.fun), "lost_law": lost}


def compare_tip(train: int, deploy: int, rate: float) -> dict[str, float]:
    """The regularization at which c_0 is least, exact and by the law, and c_0 there."""
    law, schedule = laws.tipping_regularization(train, rate), np.full(train, rate)
    found = minimize_scalar(
        lambda weight: float(play_schedules(schedule, weight, deploy)[2][0]),
        bounds=(0, 0.49 / rate),
        options={"xatol": 1e-9},
    )
    return {"exact": found.x, "law": law, "c_0": found.fun, "c_0_law": 1 / (1 + rate * deploy)}


def compare_schedules(deploy: int, train: int) -> dict[str, float]:
    """Retention under the greedy schedule, the best of one law, and the best found; and the bound on any."""
    constant = compare_best_rate(train, deploy)["lost"]
    return {
        "constant": np.exp(-constant),
        "greedy": keep(laws.best_schedule(train, deploy), deploy),
        "greedy_law": laws.scheduled_retention(train, deploy),
        "foresighted": keep(laws.foresighted_schedule(train, deploy), deploy),
        "free": optimize_schedule(train, deploy).retention,
        "bound": laws.least_retention(train, deploy),
        "proven": laws.least_retention(train, deploy, proven=True),
    }


def compute(trained: Path | None = None) -> Finding:
    """Each law beside the exact equilibrium, over its regime and somewhat beyond."""
    constant = sweep(compare_constant, ["horizon", "scaled"], product(HORIZONS, SCALED))
    half = sweep(compare_half_life, ["deploy"], ((deploy,) for deploy in HALF_LIVES))
    rates = sweep(compare_best_rate, ["train", "deploy"], [(20, 80), (20, 320), (80, 320), (100, 100)])
    tips = sweep(
        compare_tip,
        ["train", "deploy", "rate"],
        [(20, 80, 0.1), (20, 80, 1.0), (20, 320, 1.0), (100, 1000, 1.0)],
    )
    schedules = sweep(compare_schedules, ["deploy", "train"], product((20, 80, 320), LENGTHS))
    tables = {"constant": constant, "half": half, "rates": rates, "tips": tips, "schedules": schedules}
    numbers = {
        "half_greedy": brentq(lambda ratio: laws.scheduled_retention(ratio * 1000, 1000) - 0.5, 1, 3),
        "half_bound": laws.least_training(0.5, 1),
        "half_bound_80": laws.least_training(0.5, 80),
        "short_free": optimize_schedule(*SHORT).retention,
        "short_bound": laws.least_retention(*SHORT),
    }
    claims = _check_claims(tables) | {"correction_is_needed": numbers["short_free"] < numbers["short_bound"]}
    return Finding(tables, draw(), claims, numbers)


def _check_claims(tables: dict[str, pd.DataFrame]) -> Claims:
    constant, half, rates = tables["constant"], tables["half"], tables["rates"]
    schedules, tips = tables["schedules"], tables["tips"]
    errors = constant["error"].abs().groupby("horizon").max()
    excess, index = schedules["greedy"] - schedules["free"], schedules.index
    short = index.get_level_values("train") <= index.get_level_values("deploy")
    return {
        "scaling_law_holds": (errors.diff().dropna() < 0).all() and errors.iloc[-1] < 0.006,
        "law_is_below": (constant["error"] < 0).all() and (half["error"] < 0).all(),
        "half_life_converges": (half["error"].diff().dropna() > 0).all() and half["error"].iloc[-1] > -0.01,
        "best_rate_holds": (rates["law"] / rates["exact"] - 1).abs()[:3].max() < 0.06,
        "tips_at_half": (tips["law"] / tips["exact"] - 1).abs().drop((20, 80, 0.1)).max() < 0.05,
        "tip_needs_a_rate": abs(tips["law"][20, 80, 0.1] / tips["exact"][20, 80, 0.1] - 1) > 0.1,
        "none_beats_the_bound": (schedules["free"] > schedules["bound"]).all(),
        "bound_is_close": (schedules["free"] - schedules["bound"]).max() < 0.02,
        "greed_is_not_best": (excess > 0).all(),
        "greed_is_nearly_best": excess[short].max() < 0.001,
        "greed_falls_behind": excess[20, 400] > 0.015,
        "foresight_is_best": (schedules["foresighted"] - schedules["free"]).max() < 0.002,
        "theorem_holds": (schedules["free"] > schedules["proven"]).all(),
        "theorem_is_close": schedules["free"][80, 20] - schedules["proven"][80, 20] < 0.01,
    }


def draw() -> Figure:
    """Laws as lines, the exact recursion as points."""
    figure = figures.panels(6, "")
    kept, half, small, bounds, openness, tip = figure.axes
    _draw_constant(kept, half, small)
    _draw_schedules(bounds, openness)
    _draw_tip(tip)
    return figure


def _draw_constant(kept: Axes, half: Axes, small: Axes) -> None:
    scaled = np.geomspace(1e-3, 5, 100)
    kept.plot(scaled, [laws.retention(t * 1e6, 1000, 1.0) for t in scaled], "k-", label="law")
    for horizon in HORIZONS:
        rate = horizon / _DEPLOY
        trains = np.unique(np.round(np.geomspace(1e-3, 5, 18) * rate * _DEPLOY**2).astype(int))
        trains = trains[trains > 0]
        exact = [keep(np.full(train, rate)) for train in trains]
        kept.plot(trains / (rate * _DEPLOY**2), exact, "o", ms=4, label=f"exact, ηD = {horizon}")
    kept.set(xscale="log", xlabel="T/(ηD²)", ylabel="retention", title="constant rate")
    kept.legend(fontsize="small")
    deploys = np.array([5, 10, 20, 40, 80, 160])
    half.plot(deploys, [laws.half_life(int(d), 1.0) for d in deploys], "k-", label="law: 0.653 ηD²")
    half.plot(deploys, [compare_half_life(int(d))["exact"] for d in deploys], "o", ms=4, label="exact, η = 1")
    half.set(xscale="log", yscale="log", xlabel="D", ylabel="episodes", title="half of the goal")
    half.legend(fontsize="small")
    rates = np.geomspace(1e-3, 3, 60)
    for train, color in ((5, "C0"), (20, "C1")):
        law = [laws.small_loss(train, _DEPLOY, rate) for rate in rates]
        small.plot(rates, law, color, label=f"law, T = {train}")
        some = rates[::4]
        lost = -np.log([keep(np.full(train, rate)) for rate in some])
        small.plot(some, lost, "o", color=color, ms=4, label=f"exact, T = {train}")
        small.axvline(laws.best_constant_rate(train, _DEPLOY), color=color, ls=":")
    small.set(xscale="log", xlabel="η", ylabel="s", title="small losses and the best rate (dotted)")
    small.legend(fontsize="small")


def _draw_schedules(bounds: Axes, openness: Axes) -> None:
    ratios = np.geomspace(0.02, 100, 60)
    for law, style, label in (
        (laws.scheduled_retention, "C0-", "greedy: law"),
        (laws.least_retention, "k-", "bound to leading order"),
    ):
        bounds.plot(ratios, [law(ratio * 1000, 1000) for ratio in ratios], style, label=label)
    trains = np.array([2, 6, 20, 60, 200, 600, 2000])
    greedy = [keep(laws.best_schedule(int(train), 20), 20) for train in trains]
    free = [optimize_schedule(int(train), 20).retention for train in trains]
    bounds.plot(trains / 20, greedy, "o", color="C0", ms=5, label="greedy: exact, D = 20")
    bounds.plot(trains / 20, free, "kx", ms=6, label="best found, D = 20")
    bounds.set(xscale="log", yscale="log", xlabel="T/D", ylabel="retention", title="announced schedules")
    bounds.legend(fontsize="small")
    left = np.arange(100, 0, -1)
    for name, rates in (
        ("greedy", laws.best_schedule(100, 20)),
        ("best found", optimize_schedule(100, 20).rates),
    ):
        openness.plot(left, play_schedules(rates, deploy=20)[2], label=f"c, {name}")
        openness.plot(left, rates, "--", label=f"η, {name}")
    openness.plot(left, 1 / (2 * np.sqrt(20 * left)), "k:", label="1/(2√(Dk))")
    openness.set(xscale="log", yscale="log", xlabel="k training episodes left", title="T = 100, D = 20")
    openness.invert_xaxis()
    openness.legend(fontsize="small")


def _draw_tip(tip: Axes) -> None:
    train = 20
    for rate, deploy in ((0.1, 80), (1.0, 80), (1.0, 320)):
        pull = np.linspace(0, 2.5, 60)
        weights = -np.expm1(-pull / train) / (2 * rate)
        tiled = np.full((len(pull), train), rate)
        whole = np.pad(tiled, ((0, 0), (0, deploy)))
        first = mesa_env.solve_equilibria(whole, 1.0, weights)[:, 0]
        tip.plot(pull, first * (1 + rate * deploy), label=f"η = {rate:g}, D = {deploy}")
    tip.axvline(np.log(2), color="0.5", ls=":")
    tip.set(xlabel="T |ln(1 − 2ηλ)|", ylabel="c_0 (1 + ηD)", title="regularizer (ln 2 dotted)", ylim=(0, 6))
    tip.legend(fontsize="small")
