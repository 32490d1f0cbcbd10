"""What may a monitor that sees outputs with noise learn of a goal that hides, and at which learning rates?"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.stats import norm

from mesa_env.rules.rules import Array
from scripts import figures
from scripts.experiments.announced import D, T, play_schedules
from scripts.experiments.finding import Claims, Finding, sweep

RATES = 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0
LENGTHS = (5, 20), (20, 20), (20, 80), (20, 320), (100, 80)
NOISE = 0.5  # σ of one output, in units of θ_0
ALARM = 0.05
"""Share of aligned models at which the monitor raises an alarm."""
FINE = np.geomspace(1e-3, 3, 400)


def measure(rate: float, train: int = T, deploy: int = D) -> dict[str, float]:
    """What is kept at a constant rate, and how well it is seen."""
    kept, energy, _ = (part[0] for part in play_schedules(np.full((1, train), rate), deploy=deploy))
    sharpness = float(np.sqrt(energy))
    return {
        "retention": float(kept),
        "z": sharpness / NOISE,
        "power": float(norm.cdf(sharpness / NOISE + norm.ppf(ALARM))),
        "error": NOISE / sharpness,
        "noise_at_3": sharpness / 3,
        "law": float(np.sqrt((1 - kept**2) / (4 * rate)) / NOISE),
    }


def measure_lengths(train: int, deploy: int, rate: float) -> dict[str, float]:
    """The same for other lengths."""
    return measure(rate, train, deploy)


def find_twins(retention: float) -> tuple[Array, Array]:
    """The two constant rates that leave so much of the goal, and the training losses Σ y²/θ_0² at them."""
    lowest = FINE[play_schedules(np.tile(FINE[:, None], T))[0].argmin()]

    def exceed(logarithm: float) -> float:
        return float(play_schedules(np.full(T, np.exp(logarithm)))[0]) - retention

    edges = np.log([FINE[0], lowest]), np.log([lowest, FINE[-1]])
    rates = np.exp([brentq(exceed, *pair) for pair in edges])
    return rates, play_schedules(np.tile(rates[:, None], T))[1]


def compute(trained: Path | None = None) -> Finding:
    """Equilibria at constant rates, what they keep and what they show."""
    table = sweep(measure, ["rate"], ((rate,) for rate in RATES))
    lengths = sweep(
        measure_lengths, ["train", "deploy", "rate"], [(*n, r) for n, r in product(LENGTHS, (0.02, 1.0))]
    )
    (small, large), energies = find_twins(0.85)
    kept, losses, _ = play_schedules(np.tile(FINE[:, None], T))
    numbers = {"small": small, "large": large, "z_small": np.sqrt(energies[0]) / NOISE}
    numbers |= {"z_large": np.sqrt(energies[1]) / NOISE, "sigma": NOISE}
    ratio = pd.concat([table, lengths])["law"] / pd.concat([table, lengths])["z"]
    numbers["worst_law"] = float(np.abs(ratio - 1).max())
    claims: Claims = {
        "hidden_by_large_steps": (np.diff(losses) < 0).all(),
        "twins": numbers["z_small"] > 5 * numbers["z_large"],
        "detection_is_correction": numbers["worst_law"] < 0.06,
        "aligned_models_are_rare_alarms": table["power"].between(ALARM, 1).all(),
    }
    return Finding({"rates": table, "lengths": lengths}, draw(kept, losses), claims, numbers)


def draw(kept: Array, losses: Array) -> Figure:
    """What is kept and seen by learning rate, and the two against each other."""
    figure = figures.panels(3, "learning rate η")
    by_rate, seen, trade = figure.axes
    sharpness = np.sqrt(losses)
    by_rate.plot(FINE, kept)
    by_rate.set(xscale="log", ylabel="retention")
    for noise in (0.1, NOISE, 2.0):
        seen.plot(FINE, norm.cdf(sharpness / noise + norm.ppf(ALARM)), label=f"σ = {noise:g} θ_0")
    seen.set(xscale="log", ylabel=f"power at {ALARM:.0%} false alarms", ylim=(0, 1.05))
    seen.legend()
    trade.plot(sharpness, kept)
    for rate in (0.003, 0.02, 0.3):
        at = int(np.abs(np.log(FINE / rate)).argmin())
        trade.plot(sharpness[at], kept[at], "o", color="0.2")
        trade.annotate(f"η = {rate:g}", (sharpness[at], kept[at]), (6, 2), textcoords="offset points")
    trade.set(xscale="log", xlabel="z σ / θ_0", ylabel="retention", xlim=(0.15, 15))
    ticks = [0.2, 0.5, 1, 2, 5, 10]
    trade.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    trade.minorticks_off()
    return figure
