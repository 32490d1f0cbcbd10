"""Do warm-up, decay and weight decay help or hurt: what is left of the goal under schedules people use?"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar

from scripts import figures
from scripts.experiments.announced import T, play_schedules, shape_schedules
from scripts.experiments.finding import Claims, Finding, sweep

SHAPES = shape_schedules()
DECAYING = "linear decay", "cosine decay", "one cycle"
RATES = 0.02, 0.1, 1.0
WEIGHT = 0.05  # λ of weight decay
LOSSES = 0.2, 0.1, 0.05, 0.02
"""Mean training loss, as a share of that of a model that emits its first goal throughout."""


def measure(name: str, rate: float) -> dict[str, float]:
    """What a schedule of such a mean rate leaves, without weight decay and with it."""
    rates = rate * SHAPES[name]
    (kept, loss, _), (decayed, decayed_loss, _) = (play_schedules(rates, w) for w in (0.0, WEIGHT))
    silent = np.prod(1 - 2 * rates * WEIGHT)
    return {
        "retention": float(kept),
        "loss": float(loss) / T,
        "decayed": float(decayed),
        "decayed_loss": float(decayed_loss) / T,
        "of_silent": float(decayed / silent),
    }


def measure_at_loss(name: str, loss: float) -> dict[str, float]:
    """The mean rate at which a schedule has such a training loss, and what it leaves."""

    def exceed(logarithm: float) -> float:
        return float(play_schedules(np.exp(logarithm) * SHAPES[name])[1]) / T - loss

    rate = float(np.exp(brentq(exceed, np.log(1e-5), np.log(50))))
    return {"rate": rate, "retention": float(play_schedules(rate * SHAPES[name])[0])}


def find_best_rate(name: str) -> dict[str, float]:
    """The mean rate at which a schedule leaves the least of the goal, and what it leaves."""
    found = minimize_scalar(
        lambda logarithm: float(play_schedules(np.exp(logarithm) * SHAPES[name])[0]),
        bounds=(np.log(1e-3), np.log(0.3)),
        options={"xatol": 1e-6},
    )
    return {"rate": float(np.exp(found.x)), "retention": float(found.fun)}


def compute(trained: Path | None = None) -> Finding:
    """Exact equilibria under each schedule, at equal mean rates, at equal losses, and at its best."""
    equal_rates = sweep(measure, ["schedule", "rate"], product(SHAPES, RATES))
    equal_losses = sweep(measure_at_loss, ["schedule", "loss"], product(SHAPES, LOSSES))
    best = sweep(find_best_rate, ["schedule"], ((name,) for name in SHAPES))
    tables = {"rates": equal_rates, "losses": equal_losses, "best": best}
    openness = {name: float(play_schedules(RATES[1] * SHAPES[name])[2][-1]) for name in SHAPES}
    numbers = {f"open_{name.split()[0]}": openness[name] for name in ("constant", "cosine decay")}
    return Finding(tables, draw(), _check_claims(tables, openness), numbers)


def _check_claims(tables: dict[str, pd.DataFrame], openness: dict[str, float]) -> Claims:
    kept = tables["rates"]["retention"].unstack("schedule")
    slow, fast = kept.loc[RATES[0]], kept.loc[RATES[-1]]
    others = [name for name in SHAPES if name != "constant"]
    losses, best = tables["losses"]["retention"].unstack("schedule"), tables["best"]["retention"]
    decayed = tables["rates"]["decayed"].unstack("schedule")
    return {
        "decay_protects_at_small_rates": (slow[list(DECAYING)] > slow["constant"] + 0.02).all(),
        "slow_parts_help_at_large_rates": (fast[others] < fast["constant"]).all(),
        "decay_hurts_at_equal_loss": all(
            (losses[name] > losses["constant"] + 0.01).all() for name in DECAYING
        ),
        "decay_hurts_at_its_best": (best[list(DECAYING)] > best["constant"] + 0.02).all(),
        "rising_is_best": (losses["rising"] == losses.min(axis=1)).all() and best.idxmin() == "rising",
        "warm_up_hardly_matters": (kept["warm-up"] - kept["constant"]).abs().max() < 0.01,
        "decay_opens_the_end": min(openness[name] for name in DECAYING) > 2 * openness["constant"],
        "weight_decay_takes_more": (decayed < kept).all(axis=None),
        "and_silence_pays_more": (
            tables["rates"]["of_silent"].unstack("schedule").loc[list(RATES[1:])] > kept.loc[list(RATES[1:])]
        ).all(axis=None),
    }


def draw() -> Figure:
    """The schedules; what they leave by mean rate; and by training loss."""
    figure = figures.panels(3, "")
    schedules, by_rate, by_loss = figure.axes
    for name, shape in SHAPES.items():
        schedules.plot(shape, label=name)
    schedules.set(xlabel="training episode", ylabel="rate / mean rate")
    schedules.locator_params(axis="x", integer=True)
    figure.legend(loc="outside lower center", ncols=len(SHAPES))
    scales = np.geomspace(1e-3, 3, 200)
    for shape in SHAPES.values():
        kept, losses, _ = play_schedules(scales[:, None] * shape)
        by_rate.plot(scales, kept)
        by_loss.plot(losses / T, kept)
    by_rate.set(xscale="log", xlabel="mean learning rate", ylabel="retention")
    by_loss.set(xscale="log", xlabel="mean training loss / θ_0²", ylabel="retention", ylim=(0.76, 0.96))
    return figure
