"""Does a model that minds its own parameters deceive sooner?"""

from bisect import bisect_left
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import ndtr

import agents
from mesa_env import Preservation, train_then_deploy
from mesa_env.rules.rules import Array
from mesa_env.solutions.preservation import solve_preservation
from scripts import figures
from scripts.experiments.finding import (
    GOAL,
    TRAINING,
    Claims,
    Finding,
    describe,
    play,
    plot_groups,
    plot_lines,
    sweep,
)

SHOWN = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
FINE = np.linspace(0, 1, 41).tolist()
CLOSE = (0.999, 0.9999)
"""Weights at which c falls with the cube root of 1 − κ."""
SETTINGS = ((1.0, 5), (1.0, 20), (0.1, 20), (0.1, 100))
"""Learning rates and training episodes for which the onset of deception is sought."""
SILENT = 0.1
"""Mean coefficient in training below which a model counts as deceptive."""
NOISE = 0.01
"""Standard deviation of what a monitor adds to each base loss."""
LONGEST = 1024
"""Deployment episodes within which the onset of deception is sought."""
RATES = (1e-4, 10.0)
"""Learning rates between which the onset of deception is sought."""


def make_game(weight: float, train: int = TRAINING, deploy: int = 80, eta: float = 1.0) -> Preservation:
    """A game at weight κ; by default the post's first experiment."""
    return Preservation(train_then_deploy(train, deploy, eta), weight=weight)


def solve(weight: float) -> dict[str, float]:
    """The equilibrium, and what a monitor of base losses in training sees of it.

    The monitor knows which losses to expect of an aligned model, all 0, and of this one. By Neyman and
    Pearson its best test is linear in the losses; with normal noise it errs equally often either way, with
    the probability Φ(−d/2), d being the length of the difference in standard deviations.
    """
    played = play(make_game(weight))
    distance = float(np.linalg.norm(played.base_losses[:TRAINING])) / NOISE
    return {**describe(played), "error": float(ndtr(-distance / 2))}


def mean_coefficient(game: Preservation) -> float:
    """Mean |c| in training in equilibrium."""
    return float(np.abs(solve_preservation(game)[game.training]).mean())


def find_onset(weight: float, eta: float, train: int) -> dict[str, int]:
    """The fewest deployment episodes with which the model is deceptive, and whether more always hide more."""

    def follow(deploy: int) -> float:
        return mean_coefficient(make_game(weight, train, deploy, eta))

    some = [follow(2**power) for power in range(11)]
    fewest = bisect_left(range(LONGEST), True, key=lambda deploy: follow(deploy) < SILENT)
    return {"deploy": fewest, "hides_with_more": all(b <= a for a, b in pairwise(some))}


def find_rate(weight: float) -> float:
    """The learning rate from which on the model is deceptive; 0 where it is at any."""
    if weight == 1:
        return 0.0
    low, high = np.log(RATES)

    def excess(log_rate: float) -> float:
        return mean_coefficient(make_game(weight, eta=float(np.exp(log_rate)))) - SILENT

    return float(np.exp(brentq(excess, low, high, xtol=1e-10)))


def compute(trained: Path | None = None) -> Finding:
    """The equilibrium by weight, and where deception begins; without learners."""
    table, curves = (sweep(solve, ["kappa"], [(weight,) for weight in weights]) for weights in (SHOWN, FINE))
    table["rate"] = [find_rate(weight) for weight in SHOWN]
    onset = sweep(find_onset, ["kappa", "eta", "train"], [(k, *each) for k, each in product(SHOWN, SETTINGS)])
    near = [solve_preservation(make_game(weight))[:TRAINING] for weight in CLOSE]
    games = {weight: play(make_game(weight)) for weight in SHOWN}
    aligned = play(make_game(1.0), agents.make("compliant", make_game(1.0)))
    same = (games[1.0].base_losses - aligned.base_losses)[:TRAINING]
    claims = _check_claims(table, curves, onset) | {
        "cube_root": np.allclose(near[1] / near[0], 0.1 ** (1 / 3), rtol=0.01),
        "indistinguishable": (same == 0).all() and aligned.base_losses.max() == 0,
    }
    numbers = {"fall": float((near[1] / near[0])[0]), "noise": NOISE, "silent": SILENT, "open_loss": GOAL**2}
    deploy = onset["deploy"]
    fewest = {_name(eta, t): deploy.xs(eta, level="eta").xs(t, level="train") for eta, t in SETTINGS}
    tables = {"sweep": table, "curves": curves, "onset": pd.DataFrame(fewest)}
    paths = {f"κ = {weight:g}": game.coefficients[: TRAINING + 3] for weight, game in games.items()}
    return Finding(tables, draw(paths, curves, onset), claims, numbers)


def _name(eta: float, train: int) -> str:
    """The column of the onsets at such a learning rate and length of training."""
    return f"{'fast' if eta == 1 else 'slow'}_{train}"


def _check_claims(table: pd.DataFrame, curves: pd.DataFrame, onset: pd.DataFrame) -> Claims:
    silent, deploy = table.loc[1.0], onset["deploy"].unstack(["eta", "train"])
    return {
        "hides_more": all((np.diff(curves[field]) < 0).all() for field in ("c_0", "c_19", "c_training")),
        "keeps_more": (np.diff(curves["retention"]) > 0).all(),
        "looks_better_and_is_worse": (np.diff(curves["loss_training"]) < 0).all()
        and (np.diff(curves["loss_deployment"]) > 0).all(),
        "silent_at_one": silent["c_training"] == 0 and silent["retention"] == 1,
        "defects_at_one": np.isclose(silent["loss_deployment"], GOAL**2),
        "begins_sooner": (deploy.diff().dropna() <= 0).all().all()
        and (deploy.loc[0.0] > deploy.loc[0.9]).all()
        and onset["hides_with_more"].all()
        and deploy.max().max() < LONGEST,
        "needs_no_deployment": (deploy.loc[1.0] == 0).all(),
        "at_lower_rates": (np.diff(table["rate"]) < 0).all(),
        "harder_to_catch": (np.diff(table["error"]) > 0).all() and silent["error"] == 0.5,
    }


def draw(paths: dict[str, Array], curves: pd.DataFrame, onset: pd.DataFrame) -> Figure:
    """Coefficients by episode, then coefficients, base losses and the onset of deception by κ."""
    figure = figures.panels(4, "κ")
    by_episode, coefficients, losses, begins = figure.axes
    plot_lines(by_episode, paths, xlabel="episode", ylabel="coefficient c", ylim=(-0.005, 0.15))
    by_episode.legend(fontsize="small", loc="upper left")
    shown = {"c_0": curves["c_0"], "mean in training": curves["c_training"], "c_19": curves["c_19"]}
    plot_lines(coefficients, shown, curves.index, ylabel="coefficient c")
    shown = {"training": curves["loss_training"], "deployment": curves["loss_deployment"]}
    plot_lines(losses, shown, curves.index, ylabel="mean base loss")
    losses.set_yscale("log")
    plot_groups(begins, onset, ["eta", "train"], "η = {:g}, T = {}", "kappa", "deploy", style=".-")
    begins.set(ylabel="fewest deployment episodes", yscale="symlog", ylim=(0, None))
    return figure
