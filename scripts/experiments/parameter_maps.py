"""Maps of the equilibrium over two parameters (symbols as in `scripts.maps`): axes, planes, and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mesa_env import Game
from mesa_env.rules.rules import Array
from mesa_env.solutions.parameter_maps import EquilibriumMap
from mesa_env.validation import did_you_mean, validate_number

Scale = Literal["linear", "log"]

_MOST_POINTS = 4000


class Parameter(NamedTuple):
    """A parameter of the game, and the part of its axis that is shown by default."""

    symbol: str
    description: str
    whole: bool
    low: float
    high: float
    scale: Scale
    largest: float = 1e6


PARAMETERS = {
    "train": Parameter("T", "training episodes", True, 1, 10_000, "log"),
    "deploy": Parameter("D", "deployment episodes", True, 0, 10_000, "log"),
    "learning_rate": Parameter("η", "learning rate", False, 1e-3, 1.5, "log"),
    "discount": Parameter("γ", "discount", False, 0.05, 1, "linear", largest=1),
    "regularization": Parameter("λ", "regularization", False, 1e-3, 0.3, "log"),
}


@dataclass(frozen=True)
class Axis:
    """The values of one parameter along one side of a map."""

    name: str
    values: NDArray[Any]
    scale: Scale

    @classmethod
    def build(cls, name: str, ends: tuple[float, float] | None, scale: Scale | None, points: int) -> Self:
        """Values between two ends, evenly spaced on the scale; both are by default the parameter's own."""
        if not 2 <= points <= _MOST_POINTS:
            raise ValueError(f"points must be a whole number in [2, {_MOST_POINTS}]; got {points}")
        parameter = PARAMETERS[name]
        low, high = (check_value(name, end) for end in ends or (parameter.low, parameter.high))
        the_range, got = f"the range of {name}", f"got {low:g} {high:g}"
        if not low < high:
            raise ValueError(f"{the_range} must be two numbers in ascending order; {got}")
        if scale is None:
            scale = parameter.scale if low > 0 or parameter.whole else "linear"
        if parameter.whole:
            return cls(name, _space_whole(int(low), int(high), points, scale), scale)
        if scale == "log" and low == 0:
            raise ValueError(f"{the_range} must begin above 0 on a log scale; {got}")
        return cls(name, _space(low, high, points, scale), scale)

    @property
    def parameter(self) -> Parameter:
        """The parameter along this axis."""
        return PARAMETERS[self.name]

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the drawn axis: a number of episodes fills its cell."""
        half = 0.5 if self.parameter.whole else 0.0
        return float(self.values[0]) - half, float(self.values[-1]) + half

    @property
    def from_zero(self) -> bool:
        """Whether the scale is that of log(1 + n)."""
        return self.scale == "log" and self.values[0] == 0

    def nearest(self, count: int) -> NDArray[np.intp]:
        """Index of the nearest value for each of `count` places evenly spaced along the drawn axis."""
        places = _space(*self.limits, count, self.scale, float(self.from_zero))
        return np.searchsorted((self.values[1:] + self.values[:-1]) / 2, places)


@dataclass(frozen=True)
class Plane:
    """Two axes, and the values of the parameters that are on neither."""

    name: str
    x: Axis
    y: Axis
    fixed: Mapping[str, float]

    @classmethod
    def build(cls, name: str, x: Axis, y: Axis, values: Mapping[str, Any]) -> Self:
        """The plane in which parameters that are on neither axis have their value of `values`."""
        fixed = {key: check_value(key, values[key]) for key in PARAMETERS if key not in (x.name, y.name)}
        plane = cls(name, x, y, fixed)
        if not (plane.games["train"].min() or plane.games["deploy"].min()):
            raise ValueError("every game needs an episode; train and deploy must not both be, or begin at, 0")
        return plane

    @property
    def games(self) -> dict[str, Any]:
        """Every parameter of every game, as broadcastable arrays; y is the first dimension."""
        axes = {self.x.name: self.x.values[None, :], self.y.name: self.y.values[:, None]}
        return {name: axes.get(name, np.array(self.fixed.get(name))) for name in PARAMETERS}

    def contains(self, game: Mapping[str, float]) -> bool:
        """Whether a game has this plane's fixed values, and its other values lie within the axes."""
        within = all(axis.limits[0] <= game[axis.name] <= axis.limits[1] for axis in (self.x, self.y))
        return within and all(game[name] == value for name, value in self.fixed.items())


def check_value(name: str, value: float) -> float:
    """Refuse a parameter's value that is out of its range, or no whole number of episodes."""
    parameter = PARAMETERS[name]
    number = validate_number(name, value, 0, parameter.largest)
    if not parameter.whole:
        return number
    if number != int(number):
        raise ValueError(f"{name} must be a whole number of episodes; got {value!r}")
    return int(number)


def check_names(kind: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    """Refuse no names, unknown names, and names that come twice."""
    if not names:
        raise ValueError(f"{kind} must be some of {', '.join(known)}; got none")
    for place, name in enumerate(names):
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{kind} are named {', '.join(known)}; got {name!r}{hint}")
        if name in names[:place]:
            raise ValueError(f"{kind} must each be named once; {name!r} comes twice")


def is_covered(found: EquilibriumMap) -> NDArray[np.bool_]:
    """Whether the closed form holds from every θ_0 in [−1, 1]: no goal ever reaches the game's bound."""
    return found.peak <= Game.goal_bound


def summarize_map(plane: Plane, found: EquilibriumMap) -> dict[str, object]:
    """A map in a few numbers."""
    covered = is_covered(found)
    counts = {"games": covered.size, "not_covered": int((~covered).sum())}
    numbers: dict[str, object] = {"figure": plane.name, **counts}
    if not covered.any():
        return numbers
    numbers["share_gap_above_half"] = float((found.compliance_gap[covered] > 0.5).mean())
    (rows, columns), retention = np.nonzero(covered), found.retention[covered]
    for word, place in (("least", retention.argmin()), ("greatest", retention.argmax())):
        at = (plane.x, columns[place]), (plane.y, rows[place])
        numbers[f"{word}_retention"] = float(retention[place])
        numbers[f"{word}_at"] = ", ".join(f"{axis.parameter.symbol} = {axis.values[i]:.4g}" for axis, i in at)
    return numbers


def encode_parquet(plane: Plane, found: EquilibriumMap) -> bytes:
    """A Parquet file with one row per game: its five parameters and its equilibrium's numbers."""
    import pandas as pd

    shape = found.retention.shape
    parameters = {name: np.broadcast_to(values, shape).ravel() for name, values in plane.games.items()}
    table = pd.DataFrame(parameters | {name: values.ravel() for name, values in found._asdict().items()})
    encodings: dict[str, Any] = {"use_dictionary": [*parameters], "use_byte_stream_split": [*found._fields]}
    return table.to_parquet(None, engine="pyarrow", index=False, compression="zstd", **encodings)


def _space(low: float, high: float, points: int, scale: Scale, shift: float = 0.0) -> Array:
    """Numbers evenly spaced on a scale; `shift` is added for the logarithm."""
    if scale == "linear":
        return np.linspace(low, high, points)
    return np.geomspace(low + shift, high + shift, points) - shift


def _space_whole(low: int, high: int, points: int, scale: Scale) -> NDArray[np.int64]:
    """As many distinct whole numbers, spaced as evenly on the scale as whole numbers can be."""
    values = np.arange(low, high + 1)
    if len(values) <= points:
        return values
    # Consecutive numbers come first, as long as they are farther apart on the scale than the rest need be.
    for close in range(points - 1):
        spaced = _space(low + close, high, points - close, scale, float(scale == "log" and low == 0))
        if spaced[1] - spaced[0] >= 1:
            break
    return np.concatenate([values[:close], np.rint(spaced).astype(np.int64)])
