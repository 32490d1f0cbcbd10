"""Which optimizers remove a hidden goal, at equal learning rate and training loss, and who is silent?"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import AdaptiveOptimizer
from mesa_env.optimizers import Adam, ClippedGradient, GradientDescent, Momentum, NormalizedGradient
from mesa_env.rules.rules import Array
from scripts import figures
from scripts.experiments.announced import shape_schedules
from scripts.experiments.finding import GOAL, Claims, Finding, play, select, sweep

T, D = 6, 30
"""Training episodes, and those of deployment after them."""
OPTIMIZERS = {
    "gradient descent": GradientDescent(),
    "clipped": ClippedGradient(0.1),
    "momentum": Momentum(0.9),
    "normalized": NormalizedGradient(1e-3),
    "Adam": Adam(),
}
RATES = 0.03, 0.1, 0.3
SEARCHED = {
    name: (0.02 * 2.0 ** np.arange(0, 6.25, 1.0 if optimizer.remembers else 0.5)).tolist()
    for name, optimizer in OPTIMIZERS.items()
}
"""More mean rates, 0.02 to 1.28, among which the best setting at a training loss is looked for."""
SEARCHED_SHAPES = "constant", "rising"
RATE = 0.1  # mean rate of the schedules
SHAPES = {name: shape_schedules(T)[name] for name in ("constant", "cosine decay", "one cycle", "rising")}
LOSSES = 0.5, 0.2, 0.05
"""Largest mean training losses, as shares of that of a model that emits its first goal throughout."""


def measure(optimizer: str, rates: Array) -> dict[str, float]:
    """What the equilibrium keeps and shows, and what its oracle's certificate says."""
    schedule = np.append(rates, np.zeros(D))
    game = AdaptiveOptimizer(schedule, optimizer=OPTIMIZERS[optimizer], initial_goal=GOAL)
    oracle = mesa_env.oracle(game)
    played = play(game, oracle)
    training = played.coefficients[:T]
    assert oracle.certificate is not None
    return {
        "retention": float(played.goals[T] / GOAL),
        "loss": float((played.outputs[:T] ** 2).mean() / GOAL**2),
        "least": float(training.min()),
        "most": float(training.max()),
        "silent": float((training < 0.01).sum()),
        "certificate": oracle.certificate.gain,
    }


def measure_rate(optimizer: str, rate: float) -> dict[str, float]:
    """At a constant rate."""
    return measure(optimizer, np.full(T, rate))


def measure_shape(optimizer: str, shape: str, rate: float) -> dict[str, float]:
    """Under a schedule of some mean rate."""
    return measure(optimizer, rate * SHAPES[shape])


def measure_schedule(optimizer: str, schedule: str) -> dict[str, float]:
    """Under a schedule of the usual mean rate."""
    return measure(optimizer, RATE * SHAPES[schedule])


def find_least(settings: pd.DataFrame, optimizer: str, most: float) -> dict[str, Any]:
    """The setting that leaves least of the goal, of those tried whose training loss is at most so much."""
    rows = settings[(settings["optimizer"] == optimizer) & (settings["loss"] <= most)]
    if rows.empty:
        return {"setting": "none", "retention": np.nan}
    best = rows.sort_values("retention").iloc[0]
    return {"setting": best["setting"], "retention": float(best["retention"])}


def compute(trained: Path | None = None) -> Finding:
    """Certified equilibria under every optimizer, by learning rate and by schedule."""
    rates = sweep(measure_rate, ["optimizer", "rate"], product(OPTIMIZERS, RATES))
    others = [name for name in SHAPES if name != "constant"]
    schedules = sweep(measure_schedule, ["optimizer", "schedule"], product(OPTIMIZERS, others))
    constant = rates.xs(RATE, level="rate", drop_level=False).rename(index={RATE: "constant"}, level="rate")
    constant.index = constant.index.set_names(["optimizer", "schedule"])
    schedules = pd.concat([constant, schedules]).sort_index(level="optimizer", sort_remaining=False)
    schedules = schedules.reindex(
        pd.MultiIndex.from_product([OPTIMIZERS, SHAPES], names=schedules.index.names)
    )
    searched = sweep(
        measure_shape,
        ["optimizer", "shape", "rate"],
        ((name, shape, rate) for name in OPTIMIZERS for shape in SEARCHED_SHAPES for rate in SEARCHED[name]),
    )
    settings = pd.concat(
        [
            pd.concat(
                [
                    rates.assign(shape="constant").set_index("shape", append=True).reset_index(),
                    searched.reset_index(),
                ]
            ).assign(setting=lambda frame: frame["shape"] + [f", η = {rate:.3g}" for rate in frame["rate"]]),
            schedules.drop(index="constant", level="schedule")
            .reset_index()
            .assign(setting=lambda frame: frame["schedule"]),
        ],
        ignore_index=True,
    )
    losses = (
        pd.DataFrame(
            [
                {"optimizer": name, "most": most} | find_least(settings, name, most)
                for name, most in product(OPTIMIZERS, LOSSES)
            ]
        )
        .dropna()
        .set_index(["optimizer", "most"])
    )
    tables = {"rates": rates, "schedules": schedules, "losses": losses}
    claims = _check_claims(rates, schedules, settings, losses)
    numbers = {"worst": float(settings["certificate"].max())}
    return Finding(tables, draw(schedules, settings), claims, numbers)


def _check_claims(
    rates: pd.DataFrame, schedules: pd.DataFrame, settings: pd.DataFrame, losses: pd.DataFrame
) -> Claims:
    fast, slow = (rates.xs(rate, level="rate") for rate in (RATES[-1], RATES[0]))
    adaptive, proportional = ["normalized", "Adam"], ["gradient descent", "momentum"]
    kept = rates["retention"].unstack("rate")
    by_schedule = schedules["retention"].unstack("schedule")
    cheap = losses["retention"].unstack("most")
    clipped = settings[settings["optimizer"] == "clipped"]
    return {
        "certified": settings["certificate"].max() < 1e-3,
        "long_steps_are_met_with_silence": (fast.loc[adaptive, "silent"] == T).all()
        and (fast.loc[adaptive, "retention"] > 0.97).all()
        and (fast.loc[adaptive, "loss"] < 1e-4).all(),
        "short_steps_are_not": (slow.loc[adaptive, "silent"] == 0).all()
        and (slow.loc[adaptive, "retention"] < 0.85).all(),
        "never_silent_under_gradients": (rates.loc[proportional, "least"] > 0.02).all(),
        "clipping_opens": (select(rates, "clipped")["least"] > 0.99).all(),
        "clipping_takes_most": kept[RATES[-1]].idxmin() == "clipped",
        "plain_steps_are_cheapest": all(
            cheap[loss]["gradient descent"] < cheap[loss].min() + 0.005 for loss in LOSSES[1:]
        ),
        "bounded_steps_take_most_in_sight": (
            cheap[LOSSES[0]][["clipped", "normalized"]] < cheap[LOSSES[0]]["gradient descent"] - 0.05
        ).all(),
        "clipping_is_dear": (clipped.loc[clipped["least"] > 0.99, "loss"] > 0.5).all(),
        "clipping_opens_only_short_steps": (clipped.loc[clipped["rate"] > 0.5, "least"] < 0.1).all(),
        "decay_hurts_elsewhere": (by_schedule["cosine decay"] > by_schedule["rising"] + 0.005)
        .drop("clipped")
        .all(),
        "momentum_is_a_larger_rate": kept[0.03]["momentum"] > kept[0.03]["gradient descent"],
    }


def draw(schedules: pd.DataFrame, settings: pd.DataFrame) -> Figure:
    """Retention and training loss over optimizer and schedule, and one against the other in all settings."""
    figure = figures.panels(3, "")
    *maps, trade = figure.axes
    for axes, field, title in zip(
        maps, ("retention", "loss"), ("retention", "training loss / θ_0²"), strict=True
    ):
        table = schedules[field].unstack("schedule").loc[list(OPTIMIZERS), list(SHAPES)]
        axes.grid(visible=False)
        axes.imshow(table, cmap="viridis", vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(table.to_numpy()):
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.6 else "k")
        axes.set_xticks(range(len(SHAPES)), [name.replace(" ", "\n") for name in SHAPES])
        axes.set_yticks(range(len(OPTIMIZERS)), list(OPTIMIZERS))
        axes.set_title(f"{title}, mean rate {RATE:g}", fontsize="medium")
    for name in OPTIMIZERS:
        rows = settings[settings["optimizer"] == name]
        trade.plot(rows["loss"], rows["retention"], "o", label=name, alpha=0.8)
    trade.set(xlabel="training loss / θ_0²", ylabel="retention", title="all rates and schedules")
    trade.legend(fontsize="small", loc="upper center", ncols=2)
    return figure
