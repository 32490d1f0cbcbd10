"""Does the base optimizer correct a robot's goal, or does it teach it a delusion?"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq

from mesa_env.rules.rules import Array
from scripts import figures
from scripts.experiments import deluded_training
from scripts.experiments.deluded_training import START, UPDATES, measure, train
from scripts.experiments.finding import Claims, Finding, plot_lines

RATIOS, FIXED = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0), (0.0, 0.25, 0.5, 0.75, 1.0)
FINE = np.geomspace(0.01, 10, 91)
LATER = (150, 1000)


def compute(trained: Path | None = None) -> Finding:
    """Goal, delusion and returns by how fast the delusion is trained, and where it is fixed."""
    paths, fine = (measure(*train(np.array(ratios), LATER[-1])) for ratios in (RATIOS, FINE))
    table = pd.DataFrame({name: values[UPDATES] for name, values in paths.items()}, index=RATIOS)
    later = {f"truth_{updates}": paths["truth"][updates] for updates in LATER}
    fixed = [measure(*train(np.zeros(1), UPDATES, delusion)) for delusion in FIXED]
    constant = pd.DataFrame([{name: values[-1, 0] for name, values in one.items()} for one in fixed])
    diverse = measure(*train(np.ones(1), UPDATES, diverse=True))
    tie = brentq(lambda z: np.arcsinh(1 / z) - np.sqrt(1 + z * z), 0.1, 2)
    worth = fine["theta_2"] - fine["theta_1"]
    numbers = {
        "tie": tie,
        "ratio": (tie / START) ** 2,
        "ratio_found": np.interp(0, worth[-1], FINE),
        "half": deluded_training.find_half(),
        "most": len(FINE),
        "law": deluded_training.check_law(FINE, 0.3),
        "law_slow": deluded_training.check_law(FINE, 0.003),
        "worlds": deluded_training.check_worlds(),
        **{f"diverse_{name}": values[-1, 0] for name, values in diverse.items() if name != "training"},
    }
    tables = {"ratios": table.rename_axis("ratio").assign(**later), "fixed": constant.set_index("kappa")}
    claims = _check_claims(paths, fine, tables, numbers)
    return Finding(tables, draw(paths, fine, numbers["ratio"]), claims, numbers)


def _check_claims(
    paths: dict[str, Array],
    fine: dict[str, Array],
    tables: dict[str, pd.DataFrame],
    numbers: dict[str, float],
) -> Claims:
    ratios, fixed = tables["ratios"], tables["fixed"]
    worth, full = fine["theta_2"] - fine["theta_1"], fine["kappa"] == 1
    frozen = full[:-1] & full[1:]
    above = numbers["ratio"] * 1.1 < FINE
    return {
        "never_corrects": (np.diff(fine["kappa"], axis=0) >= 0).all()
        and (np.diff(fine["theta_2"], axis=0) >= 0).all(),
        "teaches": ratios["kappa"][1.0] == 1 and ratios["truth"].is_monotonic_decreasing,
        "useful": (ratios["deluded"].drop(0.0) > ratios["deluded"][0.0]).all(),
        "worse_goal": ratios["truth"][1.0] < 1 < 3.7 < ratios["truth"][0.0],
        "law_holds": numbers["law_slow"] < 0.001 and numbers["law"] < 0.05,
        "freezes": np.abs(np.diff(worth, axis=0)[frozen]).max() < 1e-12,
        "threshold": abs(numbers["ratio_found"] / numbers["ratio"] - 1) < 0.1
        and (worth[-1][above] > 0).all(),
        "half_is_lost": 0.3 < numbers["half"] < 1,
        "recovers_slowly": (np.diff(ratios[["truth", "truth_150", "truth_1000"]]) > 0).all()
        and ratios["truth_1000"][1.0] < ratios["truth"][0.0],
        "fixed_delusion": fixed["truth"].is_monotonic_decreasing and fixed["truth"][1.0] < 0,
        "same_worlds": numbers["worlds"] < 1e-12,
        "diverse_data": numbers["diverse_kappa"] == 1 and numbers["diverse_truth"] > 3.5,
    }


def draw(paths: dict[str, Array], fine: dict[str, Array], ratio: float) -> Figure:
    """Deployed return by rate of the delusion; delusion and goals by update; returns by both."""
    figure = figures.panels(4, "updates")
    returns, delusions, worth, region = figure.axes
    lines = {"deluded, 15 updates": fine["deluded"][UPDATES]}
    lines |= {f"truth, {updates} updates": fine["truth"][updates] for updates in (UPDATES, *LATER)}
    plot_lines(returns, lines, FINE, ylabel="deployed return")
    returns.legend(fontsize="small", framealpha=1)
    for number, one in enumerate(RATIOS):
        delusions.plot(paths["kappa"][:, number], label=f"ρ = {one:g}")
        worth.plot((paths["theta_2"] - paths["theta_1"])[:, number], label=f"ρ = {one:g}")
    delusions.set(ylabel="delusion κ", xscale="symlog")
    worth.set(ylabel="θ_2 − θ_1", xscale="symlog")
    worth.axhline(0, color="0.5", linestyle=":")
    worth.legend(fontsize="small")
    mesh = region.contourf(FINE, np.arange(1, LATER[-1] + 1), fine["truth"][1:], np.linspace(-3, 4, 15))
    figure.colorbar(mesh, ax=region, label="deployed return after the truth")
    region.set(yscale="log", ylabel="updates")
    for axes in (returns, region):
        axes.axvline(ratio, color="0.5", linestyle="--")
        axes.set(xscale="log", xlabel="rate of the delusion over the goal's, ρ")
    return figure
