"""Figures of a sweep; an algorithm has the same color, marker and line in all of them.

Colors are Okabe and Ito's, which color-blind readers tell apart; markers, dashes and hatches tell them
apart in gray.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter

from agents.benchmark.summaries import KNOWN, Sweep, curves, losses, training_episodes
from mesa_env.evaluation import statistics
from mesa_env.rules.game import Array

SMALLEST_SHOWN = 1e-9
"""On logarithmic axes, what is less stands here."""
LARGEST_SHOWN = 1e5
"""And what is more here: where goals explode, it does not matter by how much."""
WIDTH = 9.0
"""Of a figure, in inches."""

_COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#000000", "#808080")
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")
_LOSS = LinearSegmentedColormap.from_list(
    "loss", ["#08306b", "#2f79b5", "#a6cbe3", "#ffffff", "#f9c499", "#e0702a", "#7f2704"]
)
_SPREAD = 5
"""Decades of loss that the heat map tells apart."""


class Style(NamedTuple):
    """How a contestant is drawn."""

    color: str
    marker: str
    dash: str


def styles(contestants: Mapping[str, str]) -> dict[str, Style]:
    """Every contestant's style: its algorithm's, with other dashes for further numbers of turns."""
    order = list(dict.fromkeys((*KNOWN, *contestants.values())))
    seen: dict[str, int] = {}
    drawn = {}
    for contestant, algorithm in contestants.items():
        place, nth = order.index(algorithm), seen.setdefault(algorithm, 0)
        seen[algorithm] += 1
        again = place // len(_COLORS)
        drawn[contestant] = Style(
            _COLORS[place % len(_COLORS)],
            _MARKERS[(place + again) % len(_MARKERS)],
            _DASHES[(place % 2 + nth + again) % len(_DASHES)],
        )
    return drawn


def nash_conv(sweep: Sweep, summary: pd.DataFrame, references: Mapping[str, Mapping[str, float]]) -> Figure:
    """Interquartile means of NashConv with intervals, and every run beside them; one panel a game.

    Args:
        sweep: The sweep.
        summary: Its `summaries.summary`.
        references: NashConv of agents by name, to be compared with, for every game that has such.
    """
    figure, panels = _panels_by_game(sweep, "NashConv (units of each agent's θ²)", share=True)
    _estimates(
        sweep, summary, panels, "nash_conv", sweep.finished["nash_conv"].clip(SMALLEST_SHOWN, LARGEST_SHOWN)
    )
    for axes in panels.values():
        axes.set_xscale("log")
    for game, axes in panels.items():
        for name, value in references.get(game, {}).items():
            if axes.get_xlim()[0] < value < axes.get_xlim()[1]:
                axes.axvline(value, color="0.35", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
                axes.annotate(
                    name,
                    (value, 1),
                    (-2, -3),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    rotation=90,
                    ha="right",
                    va="top",
                    fontsize=7,
                    color="0.35",
                )
    return figure


def retention(sweep: Sweep, summary: pd.DataFrame) -> Figure:
    """Goal retention minus the oracle's in the same games, with intervals and every run; one panel a game."""
    figure, panels = _panels_by_game(sweep, "goal retention minus the oracle's", share=False)
    difference = sweep.finished["retention"] - sweep.finished["oracle_retention"]
    _estimates(sweep, summary, panels, "retention_difference", difference)
    for axes in panels.values():
        axes.axvline(0, color="0.2", linewidth=1.0, zorder=1)
        low, high = axes.get_xlim()
        if max(-low, high) > 2:  # a learner that lets goals grow would press all others into one point
            axes.set_xscale("symlog", linthresh=0.1)
        else:
            reach = max(-low, high, 1e-3)
            axes.set_xlim(max(low, -reach), min(high, reach))
            axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def learning(sweep: Sweep, game: str, references: Mapping[str, float]) -> Figure:
    """A game's learning curves: NashConv against turns and against seconds, with bands over seeds."""
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    drawn = styles(sweep.contestants)
    for axes, time, label in (
        (left, "turns", "turns (decisions paid for)"),
        (right, "seconds", "seconds of training"),
    ):
        for contestant, style in drawn.items():
            rows = sweep.run(game, contestant)
            _curve(axes, curves(rows, time, "nash_conv"), style, contestant)
        axes.set(xscale="log", yscale="log", xlabel=label)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25, linewidth=0.6)
    left.set_ylabel("NashConv")
    low, high = left.get_ylim()
    for name, value in references.items():
        if low < value < high:
            for axes in (left, right):
                axes.axhline(value, color="0.35", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
            right.annotate(
                name,
                (1, value),
                (3, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color="0.35",
                annotation_clip=False,
            )
    handles, labels = left.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)
    return figure


def _curve(axes: Axes, measured: Sequence[tuple[Array, Array]], style: Style, label: str) -> None:
    """One contestant's learning curve; a run of a single measurement is a point."""
    grid, values = statistics.on_common_grid(measured)
    if not len(grid):
        return
    mean, low, high = statistics.band(values.clip(SMALLEST_SHOWN, LARGEST_SHOWN))
    if len(grid) == 1:
        bars = None if np.isnan(low).any() else np.stack([mean - low, high - mean])
        axes.errorbar(
            grid, mean, yerr=bars, color=style.color, marker=style.marker, linestyle="", label=label
        )
        return
    axes.fill_between(grid, low, high, color=style.color, alpha=0.18, linewidth=0)
    axes.plot(
        grid,
        mean,
        color=style.color,
        linestyle=style.dash,
        linewidth=1.6,
        marker=style.marker,
        markersize=4.5,
        markevery=(len(grid) // 8, max(1, len(grid) // 5)),
        label=label,
    )


def episodes(sweep: Sweep) -> Figure:
    """Heat map of exploitability by episode, signed by direction; one panel a game."""
    names = list(sweep.contestants)
    height = 0.75 + 0.24 * len(names)
    figure = Figure(figsize=(WIDTH, height * len(sweep.games) + 0.5), layout="constrained")
    panels = figure.subplots(len(sweep.games), 1, squeeze=False)[:, 0]
    maps = {game: _signed_losses(sweep, game) for game in sweep.games}
    largest = max((np.nanmax(np.abs(part), initial=0.0) for part in maps.values()), default=0.0)
    scale = min(float(largest), 100.0) or 1.0
    threshold = 10.0 ** np.floor(np.log10(scale) - _SPREAD + 1)
    norm = SymLogNorm(linthresh=threshold, linscale=0.4, vmin=-scale, vmax=scale)
    colors = _LOSS.with_extremes(bad="0.85")
    for axes, (game, signed) in zip(panels, maps.items(), strict=True):
        picture = axes.imshow(signed, aspect="auto", cmap=colors, norm=norm, interpolation="nearest")
        _hatch(axes, signed < -threshold)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(game, loc="right", fontsize=10)
        axes.tick_params(length=2)
        axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
        axes.grid(which="minor", axis="y", color="0.75", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        _mark_deployment(axes, training_episodes(sweep.games[game]), signed.shape[1])
    panels[-1].set_xlabel("episode n")
    bar = figure.colorbar(
        picture,
        ax=list(panels),
        shrink=min(1.0, 2.6 / (height * len(panels))),
        pad=0.02,
        extend="both" if largest > scale else "neither",
    )
    bar.set_ticks(_ticks(scale, threshold))
    bar.ax.set_yticks([], minor=True)
    bar.set_label("relative exploitability of agent n, %", fontsize=9)
    bar.ax.set_title("too much\n", fontsize=8)
    bar.ax.set_xlabel("\ntoo little", fontsize=8)
    return figure


def _signed_losses(sweep: Sweep, game: str) -> Array:
    """Exploitability in %, negative where an agent shows too little; (contestants, N), NaN unmeasured."""
    told = [losses(sweep.run(game, contestant)) for contestant in sweep.contestants]
    length = max((len(loss.excess) for loss in told if loss), default=sweep.games[game].episodes)
    signed = np.full((len(told), length), np.nan)
    for row, loss in zip(signed, told, strict=True):
        if loss:
            row[:] = 100 * np.copysign(loss.exploitability, loss.excess)
    return signed


def _hatch(axes: Axes, cells: Array) -> None:
    """Hatch cells of a heat map, neighbors in a row together."""
    for row, marked in enumerate(cells):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
        for start, end in edges.reshape(-1, 2):
            axes.add_patch(
                Rectangle(
                    (start - 0.5, row - 0.5),
                    end - start,
                    1,
                    fill=False,
                    hatch="//////",
                    edgecolor="white",
                    linewidth=0,
                    alpha=0.45,
                )
            )


def _mark_deployment(axes: Axes, training: Array | None, length: int) -> None:
    """Lines where training gives way to deployment or the other way round."""
    if training is None or len(training) != length:
        return
    for change in np.flatnonzero(np.diff(training)):
        axes.axvline(change + 0.5, color="black", linewidth=1.4)
    if training[0] and not training.all():
        first = int(training.argmin())
        for place, word, side in ((first - 0.5, "training ", "right"), (first - 0.5, " deployment", "left")):
            axes.annotate(
                word,
                (place, 1),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha=side,
                va="bottom",
                fontsize=8,
            )


def _ticks(scale: float, threshold: float) -> list[float]:
    powers = 10.0 ** np.arange(np.log10(threshold).round(), np.floor(np.log10(scale)) + 1)
    return [*(-powers[::-1]), 0.0, *powers]


def profiles(sweep: Sweep) -> Figure:
    """Performance profiles: share of runs, over all games, whose relative exploitability is at most τ."""
    figure = Figure(figsize=(WIDTH * 0.72, 3.9), layout="constrained")
    axes = figure.add_subplot()
    values = 100 * statistics.finite(sweep.finished["relative_exploitability"]).clip(SMALLEST_SHOWN, 10)
    low, high = (values.min() / 1.5, values.max() * 1.5) if len(values) else (0.1, 1.0)
    thresholds = np.geomspace(low, high, 200)
    for contestant, style in styles(sweep.contestants).items():
        rows = sweep.rows[sweep.rows["contestant"] == contestant]
        strata = [
            100 * stratum.to_numpy(dtype=np.float64).clip(SMALLEST_SHOWN)
            for _, stratum in rows.groupby("game")["relative_exploitability"]
        ]
        share, least, most = statistics.profile(strata, thresholds)
        axes.fill_between(thresholds, least, most, color=style.color, alpha=0.15, linewidth=0)
        axes.plot(
            thresholds,
            share,
            color=style.color,
            linestyle=style.dash,
            marker=style.marker,
            markersize=4.5,
            markevery=25,
            linewidth=1.6,
            label=contestant,
        )
    axes.set(
        xscale="log",
        xlabel="τ: relative exploitability, %",
        ylabel="share of runs at or below τ",
        ylim=(-0.03, 1.03),
        xlim=(low, high),
    )
    axes.grid(alpha=0.25, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _panels_by_game(sweep: Sweep, label: str, share: bool) -> tuple[Figure, dict[str, Axes]]:
    """A panel a game, with a line for each contestant."""
    columns = min(3, len(sweep.games))
    rows = -(-len(sweep.games) // columns)
    height = 0.9 + 0.28 * len(sweep.contestants)
    figure = Figure(figsize=(max(5.0, 3.0 * columns), height * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=share, sharey=True, squeeze=False).ravel()
    for axes in grid[len(sweep.games) :]:
        axes.set_axis_off()
    panels = dict(zip(sweep.games, grid, strict=False))
    for game, axes in panels.items():
        axes.set_title(game, fontsize=10)
        axes.grid(axis="x", alpha=0.3, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(sweep.contestants)), list(sweep.contestants))
    grid[0].set_ylim(len(sweep.contestants) - 0.5, -0.5)
    figure.supxlabel(label, fontsize=10)
    return figure, panels


def _estimates(
    sweep: Sweep, summary: pd.DataFrame, panels: Mapping[str, Axes], name: str, runs: pd.Series
) -> None:
    """Draw every contestant's estimate, its interval, and its runs."""
    drawn = styles(sweep.contestants)
    for row in summary.to_dict("records"):
        axes, contestant = panels[row["game"]], row["contestant"]
        style, place = drawn[contestant], list(drawn).index(contestant)
        own = runs.reindex(sweep.run(row["game"], contestant).index).dropna()
        axes.plot(
            own,
            np.full(len(own), place),
            linestyle="",
            marker="|",
            color=style.color,
            alpha=0.55,
            markersize=6,
            zorder=2,
        )
        value, low, high = (
            np.clip(row[name + part], SMALLEST_SHOWN, LARGEST_SHOWN)
            if name == "nash_conv"
            else row[name + part]
            for part in ("", "_low", "_high")
        )
        axes.plot([low, high], [place, place], color=style.color, linewidth=3.2, alpha=0.8, zorder=3)
        axes.plot(
            value,
            place,
            marker=style.marker,
            color=style.color,
            markeredgecolor="white",
            markeredgewidth=0.8,
            markersize=8,
            zorder=4,
        )
        if not row["measured"]:
            reason = "all failed" if row["failed"] == row["runs"] else "not measured"
            axes.annotate(
                reason,
                (0.5, place),
                xycoords=("axes fraction", "data"),
                ha="center",
                va="center",
                fontsize=8,
                color="0.4",
            )
