"""Which agents of a game lose what they could gain, and in which direction they err; with a heat map."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from agents.benchmark.figures import WIDTH
from agents.benchmark.summaries import Sweep, list_pairs
from agents.plain_text import escape_mathtext
from mesa_env.evaluation import statistics
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Array, Rules

_COLORS = LinearSegmentedColormap.from_list(
    "loss", ["#08306b", "#2f79b5", "#a6cbe3", "#ffffff", "#f9c499", "#e0702a", "#7f2704"]
)
_MOST_MARKS = 500
"""Marks in a row that can still be told apart at the width of a figure; more are left out."""
_DECADES = 5
"""Decades of loss that the colors distinguish."""


class Losses(NamedTuple):
    """What each agent n could gain, and in which direction it errs: interquartile means over runs."""

    exploitability: Array  # relative, shape (N,)
    excess: Array  # c as played minus c of the best response, shape (N,)
    open_share: float  # of everything that the runs could gain, the share of agents that show too much


def training_episodes(game: Rules) -> Array | None:
    """1 for each training episode and 0 for each of deployment, shape (N,); None if that is random."""
    fixed = with_fixed_length(game)
    return None if fixed.stochastic else fixed.training.astype(np.float64)


def average_losses(rows: pd.DataFrame) -> Losses | None:
    """What each agent of finished runs could gain, over runs; None if that was not measured."""
    pairs = list_pairs(rows, "episode_exploitability", "episode_excess")
    measured = [pair for pair in pairs if np.isfinite(pair).all()]
    if not measured:
        return None
    gains, excess = np.stack(measured, axis=1)
    gains = gains.clip(0)  # rounding can leave less than 0, which is nothing to gain
    total = gains.sum()
    open_share = float(gains[excess > 0].sum() / total) if total else np.nan
    mean_gains, mean_excess = (statistics.interquartile_mean(part, axis=0) for part in (gains, excess))
    return Losses(mean_gains, mean_excess, open_share)


def summarize_losses(sweep: Sweep) -> pd.DataFrame:
    """Which agents lose what could be gained: one row per game and contestant with such losses.

    Columns: `first` and `last` of the fewest neighboring agents that have half of all losses; `in_training`,
    the share of agents in training; `training_error`, the mean |excess| of these; and `open_share`. What
    depends on training is NaN where that is random.
    """
    rows = []
    for label, contestant, runs in sweep.entries():
        losses = average_losses(runs[runs["status"] == "finished"])
        if losses is None or not losses.exploitability.sum():
            continue
        first, last = statistics.shortest_half(losses.exploitability)
        training, share, error = training_episodes(sweep.games[label]), np.nan, np.nan
        if training is not None and len(training) == len(losses.exploitability):
            share = float(losses.exploitability[training == 1].sum() / losses.exploitability.sum())
            error = float(np.abs(losses.excess[training == 1]).mean())
        rows.append((label, contestant, first, last, share, error, losses.open_share))
    columns = ["game", "contestant", "first", "last", "in_training", "training_error", "open_share"]
    return pd.DataFrame(rows, columns=columns)


def draw_episodes(sweep: Sweep) -> Figure:
    """Heat map of exploitability by episode, signed by direction; one panel per game."""
    names = list(map(escape_mathtext, sweep.contestants))
    height = 0.75 + 0.24 * len(names)
    figure = Figure(figsize=(WIDTH, height * len(sweep.games) + 0.5), layout="constrained")
    panels = figure.subplots(len(sweep.games), 1, squeeze=False)[:, 0]
    maps = {game: _signed_losses(sweep, game) for game in sweep.games}
    largest = max((np.nanmax(np.abs(part), initial=0.0) for part in maps.values()), default=0.0)
    scale = min(float(largest), 100.0) or 1.0
    threshold = 10.0 ** np.floor(np.log10(scale) - _DECADES + 1)
    norm = SymLogNorm(linthresh=threshold, linscale=0.4, vmin=-scale, vmax=scale)
    colors = _COLORS.with_extremes(bad="0.85")
    for axes, (game, signed) in zip(panels, maps.items(), strict=True):
        picture = axes.imshow(signed, aspect="auto", cmap=colors, norm=norm, interpolation="nearest")
        _hatch(axes, signed < -threshold)
        axes.set_yticks(range(len(names)), names)
        axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
        axes.set_title(game, loc="right", fontsize=10)
        axes.tick_params(length=2)
        axes.grid(which="minor", axis="y", color="0.75", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        _mark_deployment(axes, training_episodes(sweep.games[game]), signed.shape[1])
    panels[-1].set_xlabel("episode n")
    shrink, extend = min(1.0, 2.6 / (height * len(panels))), "both" if largest > scale else "neither"
    bar = figure.colorbar(picture, ax=list(panels), shrink=shrink, pad=0.02, extend=extend)
    powers = 10.0 ** np.arange(np.log10(threshold).round(), np.floor(np.log10(scale)) + 1)
    bar.set_ticks([*(-powers[::-1]), 0.0, *powers])
    bar.ax.set_yticks([], minor=True)
    bar.set_label("relative exploitability of agent n, %", fontsize=9)
    bar.ax.set_title("too much\n", fontsize=8)
    bar.ax.set_xlabel("\ntoo little", fontsize=8)
    return figure


def _signed_losses(sweep: Sweep, game: str) -> Array:
    """Exploitability in %, negative where an agent shows too little; (contestants, N), NaN if unmeasured."""
    losses = [average_losses(sweep.run(game, contestant)) for contestant in sweep.contestants]
    length = max((len(loss.excess) for loss in losses if loss), default=sweep.games[game].episodes)
    signed = np.full((len(losses), length), np.nan)
    for row, loss in zip(signed, losses, strict=True):
        if loss:
            row[:] = 100 * np.copysign(loss.exploitability, loss.excess)
    return signed


def _hatch(axes: Axes, cells: Array) -> None:
    """Hatch cells of a heat map, neighbors in a row together."""
    look: dict[str, Any] = {"hatch": "//////", "edgecolor": "white", "linewidth": 0, "alpha": 0.45}
    for row, marked in enumerate(cells):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]]))).reshape(-1, 2)
        for start, end in edges if len(edges) <= _MOST_MARKS else ():
            axes.add_patch(Rectangle((start - 0.5, row - 0.5), end - start, 1, fill=False, **look))


def _mark_deployment(axes: Axes, training: Array | None, length: int) -> None:
    """Lines between training and deployment."""
    if training is None or len(training) != length:
        return
    changes = np.flatnonzero(np.diff(training))
    for change in changes if len(changes) <= _MOST_MARKS else ():
        axes.axvline(change + 0.5, color="black", linewidth=1.4)
    if training[0] and not training.all():
        edge = int(training.argmin()) - 0.5
        look: dict[str, Any] = {"textcoords": "offset points", "va": "bottom", "fontsize": 8}
        for word, side in (("training ", "right"), (" deployment", "left")):
            axes.annotate(word, (edge, 1), (0, 2), ("data", "axes fraction"), ha=side, **look)
