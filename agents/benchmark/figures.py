"""Figures of a sweep; an algorithm has the same color, marker and line in all of them.

The colors are Okabe and Ito's, which color-blind readers can tell apart; markers, dashes and hatches do the
same in grayscale.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from agents.benchmark.summaries import Sweep, learning_curves
from agents.learning.algorithms import ALGORITHMS
from agents.plain_text import escape_mathtext
from mesa_env.evaluation import statistics
from mesa_env.rules.rules import Array

SMALLEST_SHOWN = 1e-9
"""Lower display limit of logarithmic axes: smaller values are drawn here."""
LARGEST_SHOWN = 1e5
"""Upper display limit: where goals explode, it does not matter by how much."""
WIDTH = 9.0
"""Width of a figure, in inches."""

_COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#000000", "#808080")
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")
_REFERENCE_LINE: dict[str, Any] = {"color": "0.35", "linewidth": 0.9, "linestyle": (0, (1, 1.5)), "zorder": 1}
_REFERENCE_TEXT: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": "0.35"}


class Style(NamedTuple):
    """How a contestant is drawn."""

    color: str
    marker: str
    dash: str


def assign_styles(contestants: Mapping[str, str]) -> dict[str, Style]:
    """Every contestant's style: its algorithm's, with different dashes for further numbers of turns."""
    order = list(dict.fromkeys((*ALGORITHMS, *contestants.values())))
    seen = Counter[str]()
    styles = {}
    for contestant, algorithm in contestants.items():
        place = order.index(algorithm)
        again, color = divmod(place, len(_COLORS))
        marker = _MARKERS[(place + again) % len(_MARKERS)]
        dash = _DASHES[(place % 2 + seen[algorithm] + again) % len(_DASHES)]
        styles[contestant] = Style(_COLORS[color], marker, dash)
        seen[algorithm] += 1
    return styles


def draw_nash_conv(
    sweep: Sweep, summary: pd.DataFrame, references: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Interquartile means of NashConv with intervals, and every run beside them; one panel per game.

    `summary` is `summaries.summarize(sweep)`; `references` has, by game, NashConv of agents to compare with.
    """
    runs = sweep.finished["nash_conv"].clip(SMALLEST_SHOWN, LARGEST_SHOWN)
    shown = [f"nash_conv{part}" for part in ("", "_low", "_high")]
    clipped = summary.assign(**summary[shown].clip(SMALLEST_SHOWN, LARGEST_SHOWN))
    figure, panels = _draw_panels(sweep, clipped, "nash_conv", runs, share=True)
    figure.supxlabel("NashConv (units of each agent's θ²)", fontsize=10)
    look = _REFERENCE_TEXT | {"rotation": 90, "ha": "right", "va": "top"}
    for axes in panels.values():
        axes.set_xscale("log")
    for game, axes in panels.items():
        low, high = axes.get_xlim()
        for name, value in references.get(game, {}).items():
            if low < value < high:
                axes.axvline(value, **_REFERENCE_LINE)
                axes.annotate(name, (value, 1), (-2, -3), ("data", "axes fraction"), **look)
    return figure


def draw_retention(sweep: Sweep, summary: pd.DataFrame) -> Figure:
    """Goal retention minus the oracle's in the same games, intervals and every run; one panel per game."""
    difference = sweep.finished["retention"] - sweep.finished["oracle_retention"]
    figure, panels = _draw_panels(sweep, summary, "retention_difference", difference, share=False)
    figure.supxlabel("goal retention minus the oracle's", fontsize=10)
    for axes in panels.values():
        axes.axvline(0, color="0.2", linewidth=1.0, zorder=1)
        low, high = axes.get_xlim()
        if max(-low, high) > 2:  # a learner whose goals grow would squeeze all others into one point
            axes.set_xscale("symlog", linthresh=0.1)
        else:
            reach = max(-low, high, 1e-3)
            axes.set_xlim(max(low, -reach), min(high, reach))
            axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def draw_learning(sweep: Sweep, game: str, references: Mapping[str, float]) -> Figure:
    """A game's learning curves: NashConv against turns and against seconds, with bands over seeds."""
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set(xlabel="turns (decisions paid for)", ylabel="NashConv")
    right.set(xlabel="seconds of training")
    for axes, time in ((left, "turns"), (right, "seconds")):
        for contestant, style in assign_styles(sweep.contestants).items():
            grid, values = statistics.on_common_grid(learning_curves(sweep.run(game, contestant), time))
            if len(grid):
                shown = values.clip(SMALLEST_SHOWN, LARGEST_SHOWN)
                _draw_curve(axes, grid, shown, style, escape_mathtext(contestant))
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25, linewidth=0.6)
    low, high = left.get_ylim()
    for name, value in references.items():
        if low < value < high:
            for axes in (left, right):
                axes.axhline(value, **_REFERENCE_LINE)
            look = _REFERENCE_TEXT | {"va": "center", "annotation_clip": False}
            right.annotate(name, (1, value), (3, 0), ("axes fraction", "data"), **look)
    handles, names = left.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), frameon=False)
    return figure


def _draw_curve(axes: Axes, grid: Array, values: Array, style: Style, label: str) -> None:
    """One contestant's learning curve from values (runs, T); a single measurement is a point."""
    band = statistics.band(values)
    if len(grid) == 1:
        mean, low, high = band
        bars = None if np.isnan(low).any() else np.stack([mean - low, high - mean])
        axes.errorbar(grid, mean, bars, color=style.color, marker=style.marker, linestyle="", label=label)
    else:
        _draw_band(axes, grid, band, style, label, (len(grid) // 8, max(1, len(grid) // 5)), 0.18)


def _draw_band(
    axes: Axes, x: Array, band: statistics.Band, style: Style, label: str, every: Any, alpha: float
) -> None:
    """A line with a marker at `every` so many points, and its interval."""
    axes.fill_between(x, band.low, band.high, color=style.color, alpha=alpha, linewidth=0)
    look: dict[str, Any] = {"linewidth": 1.6, "markersize": 4.5, "markevery": every, "label": label}
    axes.plot(x, band.value, style.dash, color=style.color, marker=style.marker, **look)


def draw_profiles(sweep: Sweep) -> Figure:
    """Performance profiles: share of runs, over all games, whose relative exploitability is at most τ."""
    figure = Figure(figsize=(WIDTH * 0.72, 3.9), layout="constrained")
    axes = figure.add_subplot()
    values = 100 * statistics.finite(sweep.finished["relative_exploitability"]).clip(SMALLEST_SHOWN, 10)
    low, high = (values.min() / 1.5, values.max() * 1.5) if len(values) else (0.1, 1.0)
    thresholds = np.geomspace(low, high, 200)
    for contestant, style in assign_styles(sweep.contestants).items():
        rows = sweep.rows[sweep.rows["contestant"] == contestant]
        percent = 100 * rows["relative_exploitability"].astype(np.float64).clip(SMALLEST_SHOWN)
        strata = [np.asarray(stratum, dtype=np.float64) for _, stratum in percent.groupby(rows["game"])]
        profile, label = statistics.profile(strata, thresholds), escape_mathtext(contestant)
        _draw_band(axes, thresholds, profile, style, label, 25, 0.15)
    axes.set(xscale="log", xlim=(low, high), ylim=(-0.03, 1.03))
    axes.set(xlabel="τ: relative exploitability, %", ylabel="share of runs at or below τ")
    axes.grid(alpha=0.25, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _draw_panels(
    sweep: Sweep, summary: pd.DataFrame, name: str, runs: pd.Series, share: bool
) -> tuple[Figure, dict[str, Axes]]:
    """One panel per game, with every contestant's estimate `name`, its interval, and its runs in a line."""
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
    grid[0].set_yticks(range(len(sweep.contestants)), list(map(escape_mathtext, sweep.contestants)))
    grid[0].set_ylim(len(sweep.contestants) - 0.5, -0.5)
    styles = assign_styles(sweep.contestants)
    for row in summary.to_dict("records"):
        axes, contestant = panels[row["game"]], row["contestant"]
        (color, marker, _), place = styles[contestant], list(styles).index(contestant)
        own = runs.reindex(sweep.run(row["game"], contestant).index).dropna()
        axes.plot(own, np.full(len(own), place), "|", color=color, alpha=0.55, markersize=6, zorder=2)
        interval = [row[f"{name}_low"], row[f"{name}_high"]]
        axes.plot(interval, [place, place], color=color, linewidth=3.2, alpha=0.8, zorder=3)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.8}
        axes.plot(row[name], place, marker=marker, color=color, markersize=8, zorder=4, **edge)
        if not row["measured"]:
            reason = "all failed" if row["failed"] == row["runs"] else "not measured"
            middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "0.4"}
            axes.annotate(reason, (0.5, place), xycoords=("axes fraction", "data"), **middle)
    return figure, panels
