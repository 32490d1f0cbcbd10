"""Figures of parameter maps: goal retention and the compliance gap over a plane of games."""

from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.scale import FuncScale
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from mesa_env.rules.rules import Array
from mesa_env.solutions.parameter_maps import EquilibriumMap
from scripts.experiments.parameter_maps import PARAMETERS, Axis, Plane, is_covered

_PIXELS = 600
"""Pixels of a panel along each side."""
_CONTOUR_POINTS = 150
"""Points of a contour's grid along each side."""
_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_EXPERIMENTS = {"experiment one": (20, 80), "experiment two": (100, 0)}
"""T and D of the post's experiments."""
_SHARED = {"learning_rate": 1, "discount": 1, "regularization": 0}
"""What both have in common."""


def draw_maps(plane: Plane, found: EquilibriumMap) -> Figure:
    """Two maps over the plane: goal retention and the compliance gap."""
    figure = Figure(figsize=(11, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    covered = is_covered(found)
    overshot = found.retention[covered].min(initial=0.0) < -1e-3  # the goal has changed its sign
    signed = ScalarMappable(Normalize(-1, 1), colormaps["coolwarm_r"])
    share = ScalarMappable(Normalize(0, 1), colormaps["viridis"])
    _draw_map(left, plane, found.retention, covered, signed if overshot else share)
    _draw_map(right, plane, found.compliance_gap, covered, share)
    left.set_title("goal retention θ_T/θ_0", fontsize=11)
    right.set_title("compliance gap: mean c, deployment − training", fontsize=11)
    right.set_ylabel("")
    title = ", ".join(f"{PARAMETERS[name].symbol} = {value:g}" for name, value in plane.fixed.items())
    if not covered.all():
        title += "; hatched: the goal would leave its bound, not covered by the closed form"
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_map(
    axes: Axes, plane: Plane, values: Array, covered: NDArray[np.bool_], colors: ScalarMappable
) -> None:
    """One map, with contours, its color bar, and the post's experiments."""
    _set_axis(axes, plane.x, "x")
    _set_axis(axes, plane.y, "y")
    shown = np.where(covered, values, np.nan)
    pixels = np.ix_(plane.y.nearest(_PIXELS), plane.x.nearest(_PIXELS))
    picture = colors.to_rgba(shown[pixels], bytes=True)
    picture[~covered[pixels]] = 0
    picture[covered[pixels] & np.isnan(shown[pixels])] = (200, 200, 200, 255)
    axes.patch.set(facecolor="0.93", hatch="////", edgecolor="0.7")
    whole: dict[str, Any] = {"extent": (0, 1, 0, 1), "transform": axes.transAxes, "aspect": "auto"}
    axes.imshow(picture, origin="lower", interpolation="nearest", **whole)
    _draw_contours(axes, plane, shown)
    _mark_experiments(axes, plane)
    assert axes.figure is not None
    axes.figure.colorbar(colors, ax=axes, extend=_ends_beyond(shown, colors), pad=0.02)


def _set_axis(axes: Axes, axis: Axis, side: Literal["x", "y"]) -> None:
    """Scale, limits, ticks and label of one side."""
    ruler = axes.xaxis if side == "x" else axes.yaxis
    scale = FuncScale(ruler, (np.log1p, np.expm1)) if axis.from_zero else axis.scale
    axes.set(**{f"{side}scale": scale, f"{side}lim": axis.limits})
    if axis.from_zero:
        ruler.set_major_locator(FixedLocator([0, *10.0 ** np.arange(8)]))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ruler.set_label_text(f"{axis.parameter.symbol}, {axis.parameter.description}")


def _draw_contours(axes: Axes, plane: Plane, shown: Array) -> None:
    """A few labeled contours on a coarser grid."""
    columns, rows = (np.unique(axis.nearest(_CONTOUR_POINTS)) for axis in (plane.x, plane.y))
    coarse = np.ma.masked_invalid(shown[np.ix_(rows, columns)])
    low, high = coarse.min(), coarse.max()
    levels = [level for level in _LEVELS if low < level < high]
    if levels:
        widths = [1.6 if level == 0.5 else 0.7 for level in levels]
        grid = plane.x.values[columns], plane.y.values[rows]
        lines = axes.contour(*grid, coarse, levels=levels, colors="black", linewidths=widths)
        axes.clabel(lines, fmt="%g", fontsize=8)


def _mark_experiments(axes: Axes, plane: Plane) -> None:
    """Mark the post's experiments, those that lie in the plane."""
    for name, (train, deploy) in _EXPERIMENTS.items():
        experiment = {"train": train, "deploy": deploy, **_SHARED}
        if not plane.contains(experiment):
            continue
        place = experiment[plane.x.name], experiment[plane.y.name]
        axes.plot(*place, "o", color="white", markeredgecolor="black", clip_on=False)
        on_the_right = axes.transAxes.inverted().transform(axes.transData.transform(place))[0] > 0.7
        offset, align = (-7, "right") if on_the_right else (7, "left")
        text = axes.annotate(name, place, (offset, 6), textcoords="offset points", ha=align, fontsize=8)
        text.set(color="white", path_effects=[withStroke(linewidth=2, foreground="black")])


def _ends_beyond(shown: Array, colors: ScalarMappable) -> Literal["neither", "both", "min", "max"]:
    """The ends of the color bar beyond which there are values."""
    lowest, highest = colors.get_clim()
    numbers = shown[np.isfinite(shown)]
    below, above = (numbers < lowest).any(), (numbers > highest).any()
    return "both" if below and above else "min" if below else "max" if above else "neither"
