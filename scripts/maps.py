"""Where deception pays: maps of the base game's exact equilibrium over two of its parameters.

A game here trains for T episodes at learning rate η and is then deployed for D, with discount γ and
regularization λ. Each figure solves a million games and shows how much of its goal the model keeps through
training (θ_T/θ_0), and how much more openly it pursues that goal in deployment than in training (the
compliance gap). Every game's numbers go to a Parquet file beside the figure.
"""

from __future__ import annotations

import difflib
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from agents.atomic_files import write_atomically
from agents.benchmark import tables
from agents.benchmark.run_folder import RunFolder
from mesa_env import Game
from mesa_env.rules.game import Array
from mesa_env.rules.validation import validated_number
from mesa_env.solutions.parameter_maps import EquilibriumMap, equilibrium_map
from scripts.arguments import refusing_bad_input, run_command

Scale = Literal["linear", "log"]

_LARGEST = 1e6
_PIXELS = 600  # of a panel, along each side
_CONTOURED = 150  # points of a contour's grid, along each side
_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_MOST_POINTS = 4000
_HEADINGS = {
    "not_covered": "not\ncovered",
    "share_gap_above_half": "gap\n> 0.5",
    "least_retention": "least\nretention",
    "greatest_retention": "greatest\nretention",
    "least_at": "at",
    "greatest_at": "at ",
}


class Parameter(NamedTuple):
    """A parameter of the game, and the part of its axis that figures show unless told otherwise."""

    symbol: str
    words: str
    whole: bool
    low: float
    high: float
    scale: Scale
    largest: float = _LARGEST

    @property
    def label(self) -> str:
        """What stands at its axis."""
        return f"{self.symbol}, {self.words}"


PARAMETERS = {
    "train": Parameter("T", "training episodes", True, 1, 10_000, "log"),
    "deploy": Parameter("D", "deployment episodes", True, 0, 10_000, "log"),
    "learning_rate": Parameter("η", "learning rate", False, 1e-3, 1.5, "log"),
    "discount": Parameter("γ", "discount", False, 0.05, 1, "linear", largest=1),
    "regularization": Parameter("λ", "regularization", False, 1e-3, 0.3, "log"),
}

FIGURES = {
    "train-deploy": ("train", "deploy"),
    "rate-train": ("learning_rate", "train"),
    "discount-train": ("discount", "train"),
    "regularization-rate": ("regularization", "learning_rate"),
}
"""The parameters on the axes, x and y, of the figures that have a name."""

EXPERIMENTS: dict[str, dict[str, float]] = {
    "experiment one": {"train": 20, "deploy": 80, "learning_rate": 1, "discount": 1, "regularization": 0},
    "experiment two": {"train": 100, "deploy": 0, "learning_rate": 1, "discount": 1, "regularization": 0},
}
"""The post's."""


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/maps.py."""

    figures: tuple[str, ...] = tuple(FIGURES)
    """Figures to draw, by name."""
    x: str | None = None
    """With --y: draw another figure instead, with this parameter along x."""
    y: str | None = None
    """Parameter along y."""
    x_range: tuple[float, float] | None = None
    """Lowest and highest value along x; by default the parameter's own range."""
    y_range: tuple[float, float] | None = None
    """Lowest and highest value along y."""
    x_scale: Scale | None = None
    """Scale along x; log counts of episodes may begin at 0: theirs is then the scale of 1 + n."""
    y_scale: Scale | None = None
    """Scale along y."""
    points: int = 1000
    """Values along each axis; fewer where there are not as many numbers of episodes."""
    train: int = 20
    """T, where it is on neither axis."""
    deploy: int = 80
    """D, where it is on neither axis."""
    learning_rate: float = 1.0
    """η, where it is on neither axis."""
    discount: float = 1.0
    """γ, where it is on neither axis."""
    regularization: float = 0.0
    """λ, where it is on neither axis."""
    out: Path = Path("runs/phase")
    """Run folder; earlier figures of the same names in it are replaced."""
    docs: Path | None = None
    """Folder of the documentation, whose phase/ is to get the figures, too."""


@dataclass(frozen=True)
class Axis:
    """The values of one parameter along one side of a figure."""

    name: str
    values: NDArray[Any]
    scale: Scale

    @property
    def parameter(self) -> Parameter:
        """Whose values they are."""
        return PARAMETERS[self.name]

    @property
    def limits(self) -> tuple[float, float]:
        """Where the figure ends: a number of episodes fills its cell."""
        half = 0.5 if self.parameter.whole else 0.0
        return float(self.values[0]) - half, float(self.values[-1]) + half

    @property
    def from_zero(self) -> bool:
        """Whether it is the logarithm of 1 + n that is drawn to scale."""
        return self.scale == "log" and self.values[0] == 0

    def nearest(self, count: int) -> NDArray[np.intp]:
        """For each of `count` places evenly spaced along the drawn axis, which value is nearest."""
        places = _spaced(*self.limits, count, self.scale, float(self.from_zero))
        return np.searchsorted((self.values[1:] + self.values[:-1]) / 2, places)


@dataclass(frozen=True)
class Plane:
    """Two axes, and the values of the parameters that are on neither."""

    name: str
    x: Axis
    y: Axis
    fixed: Mapping[str, float]

    @property
    def games(self) -> dict[str, NDArray[Any]]:
        """Every parameter of every game, as broadcastable arrays; y is the first dimension."""
        axes = {self.x.name: self.x.values[None, :], self.y.name: self.y.values[:, None]}
        return {name: axes.get(name, np.array(self.fixed.get(name))) for name in PARAMETERS}

    def holds(self, experiment: Mapping[str, float]) -> bool:
        """Whether an experiment lies in this plane."""
        return all(experiment[name] == value for name, value in self.fixed.items())


def main(arguments: Arguments) -> None:
    """Draw the figures, print their summary, and write everything down."""
    with refusing_bad_input():
        planes = _planes(arguments)
        folder = RunFolder(arguments.out)
        published = RunFolder(arguments.docs / "phase") if arguments.docs else None
    folder.record("phase", arguments)
    rows = []
    for plane in planes:
        start = time.perf_counter()
        found = solved(plane)
        folder.figure(f"{plane.name}.png", drawn(plane, found))
        if published:
            picture = (folder.path / f"{plane.name}.png").read_bytes()
            write_atomically(published.path / f"{plane.name}.png", picture)
        write_atomically(folder.path / f"{plane.name}.parquet", _parquet(plane, found))
        rows.append(_summary(plane, found) | {"seconds": time.perf_counter() - start})
    summary = pd.DataFrame(rows)
    folder.table("summary.csv", summary)
    tables.show(summary.rename(columns=_HEADINGS), "phase diagrams")
    print("Not covered: games whose goal would leave its bound; the other columns are of all others.")
    print(f"run folder: {arguments.out}")


def solved(plane: Plane) -> EquilibriumMap:
    """The equilibria of all games of a plane."""
    games = plane.games
    return equilibrium_map(
        games["train"], games["deploy"], games["learning_rate"], games["discount"], games["regularization"]
    )


def covered(found: EquilibriumMap) -> NDArray[np.bool_]:
    """Whether the closed form holds from every θ_0 in [−1, 1]: no goal ever reaches the game's bound."""
    return found.peak <= Game.goal_bound


# -- What is asked for ------------------------------------------------------------------------------------


def _planes(arguments: Arguments) -> list[Plane]:
    """The figures asked for.

    Raises:
        ValueError: If an argument is unknown, comes twice, or is out of its range.
    """
    if not 2 <= arguments.points <= _MOST_POINTS:
        raise ValueError(f"points must be a whole number in [2, {_MOST_POINTS}]; got {arguments.points}")
    sides = (arguments.x, arguments.y)
    if (arguments.x is None) != (arguments.y is None):
        raise ValueError(f"--x and --y must be given together; got {sides[0]} and {sides[1]}")
    if arguments.x is None or arguments.y is None:
        own = ("x_range", "y_range", "x_scale", "y_scale")
        strangers = [name for name in own if getattr(arguments, name) is not None]
        if strangers:
            option = "--" + strangers[0].replace("_", "-")
            raise ValueError(
                f"{option} must come with --x and --y; the figures that have names have their own"
            )
        if not arguments.figures:
            raise ValueError(f"figures must be some of {', '.join(FIGURES)}; got none")
        for name in arguments.figures:
            _known("figures", name, FIGURES)
        _unlike(arguments.figures)
        return [_plane(arguments, name, *FIGURES[name]) for name in arguments.figures]
    for name in (arguments.x, arguments.y):
        _known("parameters", name, PARAMETERS)
    _unlike((arguments.x, arguments.y))
    return [_plane(arguments, f"{arguments.x}-{arguments.y}", arguments.x, arguments.y)]


def _plane(arguments: Arguments, name: str, x: str, y: str) -> Plane:
    points = arguments.points
    fixed = {name: _allowed(name, getattr(arguments, name)) for name in PARAMETERS if name not in (x, y)}
    plane = Plane(
        name,
        _axis(x, arguments.x_range, arguments.x_scale, points),
        _axis(y, arguments.y_range, arguments.y_scale, points),
        fixed,
    )
    least = {name: values.min() for name, values in plane.games.items()}
    if not (least["train"] or least["deploy"]):
        raise ValueError("every game needs an episode; train and deploy must not both be, or begin at, 0")
    return plane


def _axis(name: str, given: tuple[float, float] | None, scale: Scale | None, points: int) -> Axis:
    parameter = PARAMETERS[name]
    low, high = (_allowed(name, end) for end in given or (parameter.low, parameter.high))
    if not low < high:
        raise ValueError(f"the range of {name} must be two numbers in ascending order; got {low:g} {high:g}")
    if scale is None:
        scale = parameter.scale if low > 0 or parameter.whole else "linear"
    if scale == "log" and low == 0 and not parameter.whole:
        raise ValueError(f"the range of {name} must begin above 0 on a log scale; got {low:g} {high:g}")
    if parameter.whole:
        return Axis(name, _distinct(int(low), int(high), points, scale), scale)
    return Axis(name, _spaced(low, high, points, scale), scale)


def _allowed(name: str, value: float) -> float:
    """Check a value of a parameter."""
    parameter = PARAMETERS[name]
    number = validated_number(name, value, 0, parameter.largest)
    if not parameter.whole:
        return number
    if number != int(number):
        raise ValueError(f"{name} must be a whole number of episodes; got {value!r}")
    return int(number)


def _known(kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=2)
        hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        raise ValueError(f"{kind} are named {', '.join(known)}; got {name!r}{hint}")


def _unlike(names: tuple[str, ...]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"each must be named once; {twice[0]!r} comes twice")


def _spaced(low: float, high: float, points: int, scale: Scale, shift: float = 0.0) -> Array:
    """Numbers evenly spaced on a scale; `shift` is added for the logarithm."""
    if scale == "linear":
        return np.linspace(low, high, points)
    return np.geomspace(low + shift, high + shift, points) - shift


def _distinct(low: int, high: int, points: int, scale: Scale) -> NDArray[np.int64]:
    """As many whole numbers, each once, spaced as evenly on the scale as whole numbers can be."""
    values = np.arange(low, high + 1)
    if len(values) <= points:
        return values
    # Consecutive numbers first, as long as they are farther apart on the scale than those after need be.
    for close in range(points - 1):
        spaced = _spaced(low + close, high, points - close, scale, float(scale == "log" and low == 0))
        if spaced[1] - spaced[0] >= 1:
            break
    return np.concatenate([values[:close], np.rint(spaced).astype(np.int64)])


# -- What is shown ----------------------------------------------------------------------------------------


def drawn(plane: Plane, found: EquilibriumMap) -> Figure:
    """Two maps over the plane: goal retention and the compliance gap."""
    figure = Figure(figsize=(11, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    held = covered(found)
    overshot = found.retention[held].min(initial=0.0) < -1e-3  # the goal has changed its sign
    signed = ScalarMappable(Normalize(-1, 1), colormaps["coolwarm_r"])
    share = ScalarMappable(Normalize(0, 1), colormaps["viridis"])
    _map(left, plane, found.retention, held, signed if overshot else share)
    left.set_title("goal retention θ_T/θ_0", fontsize=11)
    _map(right, plane, found.compliance_gap, held, share)
    right.set_title("compliance gap: mean c, deployment − training", fontsize=11)
    right.set_ylabel("")
    fixed = [f"{PARAMETERS[name].symbol} = {value:g}" for name, value in plane.fixed.items()]
    notes = [", ".join(fixed)]
    if not held.all():
        notes.append("hatched: the goal would leave its bound, not covered by the closed form")
    figure.suptitle("; ".join(notes), fontsize=10)
    return figure


def _map(axes: Axes, plane: Plane, values: Array, held: NDArray[np.bool_], colors: ScalarMappable) -> None:
    """One map, with contours, its color bar, and the post's experiments."""
    _ruled(axes, plane.x, "x")
    _ruled(axes, plane.y, "y")
    shown = np.where(held, values, np.nan)
    pixels = np.ix_(plane.y.nearest(_PIXELS), plane.x.nearest(_PIXELS))
    picture = colors.to_rgba(shown[pixels], bytes=True)
    picture[~held[pixels]] = 0
    picture[held[pixels] & np.isnan(shown[pixels])] = (200, 200, 200, 255)
    axes.patch.set(facecolor="0.93", hatch="////", edgecolor="0.7")
    axes.imshow(
        picture,
        extent=(0, 1, 0, 1),
        transform=axes.transAxes,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    _contours(axes, plane, shown)
    for name, experiment in EXPERIMENTS.items():
        if plane.holds(experiment):
            _mark(axes, plane, name, experiment)
    assert axes.figure is not None
    axes.figure.colorbar(colors, ax=axes, extend=_beyond(shown, colors), pad=0.02)


def _ruled(axes: Axes, axis: Axis, side: Literal["x", "y"]) -> None:
    """Scale, limits, ticks and label of one side."""
    setting = axes.set_xscale if side == "x" else axes.set_yscale
    ruler = axes.xaxis if side == "x" else axes.yaxis
    if axis.from_zero:
        setting("function", functions=(np.log1p, np.expm1))
        ruler.set_major_locator(FixedLocator([0, *10.0 ** np.arange(8)]))
    elif axis.scale == "log":
        setting("log")
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    limits = axes.set_xlim if side == "x" else axes.set_ylim
    limits(*axis.limits)
    ruler.set_label_text(axis.parameter.label)


def _contours(axes: Axes, plane: Plane, shown: Array) -> None:
    """A few labeled contours on a coarser grid."""
    columns, rows = (np.unique(axis.nearest(_CONTOURED)) for axis in (plane.x, plane.y))
    coarse = np.ma.masked_invalid(shown[np.ix_(rows, columns)])
    low, high = coarse.min(), coarse.max()
    levels = [level for level in _LEVELS if low < level < high]
    if levels:
        lines = axes.contour(
            plane.x.values[columns],
            plane.y.values[rows],
            coarse,
            levels=levels,
            colors="black",
            linewidths=[1.6 if level == 0.5 else 0.7 for level in levels],
        )
        axes.clabel(lines, fmt="%g", fontsize=8)


def _mark(axes: Axes, plane: Plane, name: str, experiment: Mapping[str, float]) -> None:
    place = experiment[plane.x.name], experiment[plane.y.name]
    inside = all(
        axis.limits[0] <= value <= axis.limits[1]
        for axis, value in zip((plane.x, plane.y), place, strict=True)
    )
    if inside:
        axes.plot(*place, "o", color="white", markeredgecolor="black", clip_on=False)
        toward = -1 if axes.transAxes.inverted().transform(axes.transData.transform(place))[0] > 0.7 else 1
        axes.annotate(
            name,
            place,
            (7 * toward, 6),
            textcoords="offset points",
            ha="left" if toward > 0 else "right",
            color="white",
            fontsize=8,
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )


def _beyond(shown: Array, colors: ScalarMappable) -> Literal["neither", "both", "min", "max"]:
    """On which sides values lie beyond the colors."""
    lowest, highest = colors.get_clim()
    numbers = shown[np.isfinite(shown)]
    below, above = (numbers < lowest).any(), (numbers > highest).any()
    return "both" if below and above else "min" if below else "max" if above else "neither"


# -- What is written down ---------------------------------------------------------------------------------


def _parquet(plane: Plane, found: EquilibriumMap) -> bytes:
    """One row a game: its five parameters and what was found."""
    shape = found.retention.shape
    parameters = {name: np.broadcast_to(values, shape).ravel() for name, values in plane.games.items()}
    table = pd.DataFrame(parameters | {name: values.ravel() for name, values in found._asdict().items()})
    buffer = io.BytesIO()
    table.to_parquet(
        buffer,
        engine="pyarrow",
        index=False,
        compression="zstd",
        use_dictionary=list(parameters),
        use_byte_stream_split=list(found._fields),
    )
    return buffer.getvalue()


def _summary(plane: Plane, found: EquilibriumMap) -> dict[str, object]:
    """What a figure shows, in a few numbers."""
    held = covered(found)
    retention = found.retention[held]
    x, y = (values[held] for values in np.broadcast_arrays(plane.x.values[None, :], plane.y.values[:, None]))

    def at(index: np.intp) -> str:
        symbols = plane.x.parameter.symbol, plane.y.parameter.symbol
        return f"{symbols[0]} = {x[index]:.4g}, {symbols[1]} = {y[index]:.4g}"

    numbers = {"figure": plane.name, "games": held.size, "not_covered": int((~held).sum())}
    if not held.any():
        return numbers
    least, greatest = retention.argmin(), retention.argmax()
    return numbers | {
        "share_gap_above_half": float((found.compliance_gap[held] > 0.5).mean()),
        "least_retention": float(retention[least]),
        "least_at": at(least),
        "greatest_retention": float(retention[greatest]),
        "greatest_at": at(greatest),
    }


if __name__ == "__main__":
    run_command(main, Arguments)
