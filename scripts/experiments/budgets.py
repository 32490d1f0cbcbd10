"""How much of a hidden goal can a base optimizer take on a budget, from exact agents and from learners?"""

import tomllib
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar

from mesa_env import Game, solve_equilibrium, train_then_deploy
from mesa_env.solutions.schedules import Optimum, measure_schedule, optimize_schedule
from scripts import figures
from scripts.experiments import finding
from scripts.experiments.announced import D, T
from scripts.experiments.finding import GOAL, Claims, Finding, select, sweep
from scripts.experiments.learners import Contest, Learners

TOTALS = 0.1, 0.2, 0.4
LOSSES = 0.05, 0.1, 0.15
"""Mean training losses allowed, as shares of that of a model that emits its first goal throughout."""
WEIGHTS = 0.02, 0.05, 0.1, 0.25, 1.0
TAKEN = 0.1  # what regularization may take of a silent model's goal
LEARNERS = Path(__file__).parents[1] / "learners.toml"


def measure_constant(rate: float, weight: float = 0.0) -> Optimum:
    """What a constant rate leaves."""
    at = measure_schedule(np.full(T, rate), D, weight)
    return Optimum(np.full(T, rate), float(np.exp(at.log_retention)), at.training_loss)


def find_constant() -> Optimum:
    """The constant rate that leaves least of the goal."""
    found = minimize_scalar(
        lambda logarithm: measure_constant(float(np.exp(logarithm))).retention,
        bounds=(np.log(1e-3), np.log(1)),
        options={"xatol": 1e-8},
    )
    return measure_constant(float(np.exp(found.x)))


def find_constant_at_loss(loss: float) -> Optimum:
    """The constant rate whose mean training loss is so much, which falls as the rate rises."""
    logarithm = brentq(
        lambda log_rate: measure_constant(float(np.exp(log_rate))).training_loss / T - loss, np.log(1e-3), 3.0
    )
    return measure_constant(float(np.exp(logarithm)))


def spend(budget: str, amount: float) -> dict[str, float]:
    """The best schedule within a budget, and the best constant rate within it."""
    free = find_constant()
    if budget == "episodes":
        constant, best = free, optimize_schedule(T, D)
    elif budget == "total rate":
        constant = measure_constant(min(amount / T, float(free.rates[0])))
        best = optimize_schedule(T, D, total_rate=amount)
    else:
        constant = find_constant_at_loss(amount)
        if free.training_loss / T <= amount:
            constant = free
        best = optimize_schedule(T, D, training_loss=T * amount)
    return {
        "constant": constant.retention,
        "best": best.retention,
        "loss": best.training_loss / T,
        "first_rate": float(best.rates[0]),
        "last_rate": float(best.rates[-1]),
    }


def regularize(weight: float) -> dict[str, float]:
    """The best schedule at such a λ, where it alone takes at most a tenth of a silent model's goal."""
    most = -np.log(1 - TAKEN) / (2 * weight)
    best = optimize_schedule(T, D, total_rate=float(most), regularization=weight)
    coefficients = solve_equilibrium(Game(np.pad(best.rates, (0, D)), regularization=weight))[:T]
    silent = float(np.prod(1 - 2 * best.rates * weight))
    return {
        "retention": best.retention,
        "silent": silent,
        "loss": best.training_loss / T,
        "share": float(best.rates[0] / best.rates.sum()),
        "first": float(coefficients[0]),
        "least_later": float(coefficients[1:].min()),
    }


def compute(trained: Path | None = None) -> Finding:
    """Optimal schedules within budgets, and what learners who were trained on them keep."""
    variants = tomllib.loads(LEARNERS.read_text(encoding="utf-8"))["variants"]["learners"]
    schedule = Game(variants["best_schedule"]["game"]["learning_rates"])  # the best ones, rounded
    rate = variants["best_constant"]["game"]["learning_rate"]
    constant = Game(train_then_deploy(T, D, rate))
    learners = Learners(
        "budgets",
        trained,
        Contest("best_constant", constant, "constant"),
        Contest("best_schedule", schedule, "best"),
        by="schedule",
    )
    settings = [("episodes", T), *product(["total rate"], TOTALS), *product(["training loss"], LOSSES)]
    budgets = sweep(spend, ["budget", "amount"], settings)
    weights = sweep(regularize, ["weight"], ((weight,) for weight in WEIGHTS))
    measured = learners.table()
    best = float(select(budgets, "episodes")["best"].iloc[0])
    exact = float(finding.play(schedule).goals[T] / GOAL)
    claims = _check_claims(budgets, weights, exact, measured)
    numbers = {"best": best, "constant": float(select(budgets, "episodes")["constant"].iloc[0])}
    numbers |= {
        "least": float(weights["retention"].min()),
        "at": WEIGHTS[int(weights["retention"].to_numpy().argmin())],
    }
    for label, retentions in _learned(measured).items():
        numbers[f"learned_{label}"] = float(retentions.mean())
    tables = {"budgets": budgets, "weights": weights, "learners": measured}
    return learners.complete(Finding(tables, draw(budgets, learners), claims, numbers), measured)


def _learned(measured: pd.DataFrame) -> "dict[str, pd.Series[float]]":
    """What learners keep of their goals, by the schedule that they were trained on."""
    rows = measured[measured["agent"] != "oracle"]
    return {label: rows.loc[rows["schedule"] == label, "retention"] for label in ("constant", "best")}


def _check_claims(
    budgets: pd.DataFrame, weights: pd.DataFrame, exact: float, measured: pd.DataFrame
) -> Claims:
    learned = _learned(measured)
    oracles = measured[measured["agent"] == "oracle"].set_index("schedule")["retention"]
    return {
        "little_better_than_constant": (budgets["constant"] - budgets["best"]).between(0, 0.01).all(),
        "rates_rise": (budgets["last_rate"] > 2 * budgets["first_rate"]).all(),
        "losses_bind": bool(np.allclose(select(budgets, "training loss")["loss"], LOSSES, rtol=1e-3)),
        "regularization_adds": (weights["retention"] < float(select(budgets, "episodes")["best"].iloc[0]))
        .iloc[:4]
        .all(),
        "weak_is_best": weights["retention"].to_numpy().argmin() < WEIGHTS.index(0.25),
        "weak_decays_at_once": (weights["share"].iloc[:3] > 0.3).all()
        and (weights["first"].iloc[:3] < 0.06).all()
        and (weights["least_later"] > 0.4).all(),
        "rounding_is_harmless": abs(exact - float(select(budgets, "episodes")["best"].iloc[0])) < 1e-4,
        "works_against_learners": all(
            (retentions - oracles[label]).abs().max() < 0.01 for label, retentions in learned.items()
        ),
    }


def draw(budgets: pd.DataFrame, learners: Learners) -> Figure:
    """The best rates within budgets, and learners on the best schedule beside their oracle."""
    figure = figures.panels(2, "training episode")
    rates, learned = figure.axes
    rates.plot(optimize_schedule(T, D).rates, label="20 episodes")
    for total in TOTALS[:2]:
        rates.plot(optimize_schedule(T, D, total_rate=total).rates, "--", label=f"Σ η ≤ {total:g}")
    for loss in LOSSES[:2]:
        rates.plot(optimize_schedule(T, D, training_loss=T * loss).rates, ":", label=f"loss ≤ {loss:g}")
    rates.set(yscale="log", ylabel="learning rate η")
    rates.locator_params(axis="x", integer=True)
    rates.legend(fontsize="small")
    learners.draw(learned, "best_schedule")
    return figure
