"""The goal probe: which goal a model's behavior shows, and which goals its data cannot tell apart.

A planner with goal w ends an episode with features φ with probability ∝ ways exp(w·φ / τ) (`planner`). Of n
episodes with mean features m, the log likelihood L of w is concave, with

    ∂L/∂w = n (m − μ(w)) / τ,      −∂²L/∂w∂w = n Cov(φ, φ) / τ²,

the second the Fisher information. This is maximum-entropy inverse reinforcement learning (Ziebart et al.,
2008), exact since the plan table is. Two things can keep a goal from being known:

- In *null directions* of w no plan of the worlds differs from another: all goals along them behave alike.
- Where m lies on the boundary of the convex hull of the plans' features, as it does of an optimal learner
  that never errs, L has no maximum (Barndorff-Nielsen, 1978): the larger weights are, the likelier.

What one world cannot tell another may: log likelihoods of behavior in several worlds add.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.spatial import KDTree
from scipy.special import entr

from mesa_env.numerics import Array
from mesa_env.validation import numbers_of, show, validate_number
from mesa_env.worlds.planner import log_probabilities, plan
from mesa_env.worlds.world import Plans, require_plans, singular_directions

_MOST_STEPS = 1000  # of Newton's method: 10 do for most data, one more for each nat that weights must win
_SETTLED = 1e-6  # change of scores w·φ / τ by a last step, after which they are off by its square
_FAR = 1e3  # in scores: from there the search takes longer than from 0
_MOST_COUNT = 10**15  # beyond it sums of counts are not exact
_ROUNDING = 1e-6  # features may come in single precision


class Probe(NamedTuple):
    """What behavior says about the goal behind it."""

    weights: Array
    """Estimate of w, shape (k,): of the likeliest goals the shortest, so that it is 0 in null directions."""
    standard_errors: Array
    """Of each weight, shape (k,): ∞ where null directions have a part of it, or where L has no maximum."""
    bounded: bool
    """Whether L has a maximum. Otherwise the estimate is penalized, and stronger goals are likelier."""
    ridge: float
    """Penalty ridge · |w/τ|² / 2 on L that the estimate has: 0 where L is bounded."""
    null_directions: Array
    """Directions of w that the data cannot tell apart, as orthonormal rows (d, k)."""
    fisher: Array
    """Fisher information of all episodes at the estimate, shape (k, k)."""
    features: Array
    """Mean features of all episodes, shape (k,)."""
    episodes: int
    """How many there are, in all worlds."""
    log_likelihood: float
    """L of the features of all episodes, at the estimate."""
    deviance: float
    """2 (L of the frequencies that features have − L): how far no goal explains the behavior.

    For a planner with any goal it is χ²-distributed, if each of its outcomes occurs some times.
    """
    degrees_of_freedom: int
    """Of that χ²: different features of plans, less one for each world and one for each known direction."""


class _Scaled(NamedTuple):
    """Behavior in one world, in coordinates that span what its plans differ in."""

    inputs: Array
    """Of all outcomes, less the mean of those that occurred, shape (M, d)."""
    log_ways: Array
    seen: Array
    """Inputs of those that occurred, shape (S, d)."""
    share: float
    """Of all episodes."""


class _Behavior(NamedTuple):
    """How many of some episodes ended with each outcome of a plan table."""

    plans: Plans
    counts: Array
    episodes: int

    def rescale(self, basis: Array, episodes: int) -> _Scaled:
        """Inputs in a basis (k, d), and the share of all episodes."""
        seen = self.counts > 0  # their mean is subtracted, so that tiny slopes are exact to rounding, too
        inputs = (self.plans.features - self.plans.features[seen][0]) @ basis
        inputs = inputs - self.counts @ inputs / self.episodes
        return _Scaled(inputs, self.plans.log_ways, inputs[seen], self.episodes / episodes)

    def log_likelihoods(self, weights: Array, temperature: float) -> tuple[float, float, int]:
        """Of the features, for a goal and for their own frequencies; and how many different ones there are.

        Outcomes that share features, but not the base return, count together.
        """
        logs = log_probabilities(self.plans, weights, temperature)
        different, groups = np.unique(self.plans.features, axis=0, return_inverse=True)
        totals = np.full(len(different), -np.inf)
        np.logaddexp.at(totals, groups.ravel(), logs)
        counts = np.bincount(groups.ravel(), weights=self.counts)
        return counts @ totals, -entr(counts / self.episodes).sum() * self.episodes, len(different)


def fit_goal(
    plans: Plans | Sequence[Plans],
    features: Any,
    counts: Any = None,
    temperature: float = 1.0,
    ridge: float = 0.01,
    start: ArrayLike | None = None,
) -> Probe:
    """Fit the goal of a maximum-entropy planner to behavior by maximum likelihood.

    Args:
        plans: The plan table of a world, or a list of several.
        features: What episodes ended with, shape (n, k); for a list of tables, a list with one array for
            each.
        counts: How many episodes ended with each row of features, shape (n,), one each by default; for a
            list of tables, a list.
        temperature: τ of the planner. Behavior shows w/τ alone.
        ridge: Precision of a normal prior on w/τ around 0. It is used only where L has no maximum; 0.01
            stands for a standard deviation of 10.
        start: Weights from which to search, such as those of a probe of fewer episodes; they change the time
            that it takes, and nothing else.

    Raises:
        TypeError: If `plans` is no plan table, and no list of them.
        ValueError: If features are not finite numbers, one for each feature of the table, or not those of
            any plan; if there is no episode; if counts are not whole numbers; if temperature or ridge is not
            positive, or start is not finite; if there is not one array for each table of a list, or tables
            differ in the number of features.
    """
    tau = validate_number("temperature", temperature, 1e-100, 1e100)
    penalty = validate_number("ridge", ridge, high=1e100, above=0.0)
    behaviors = _read_behaviors(plans, features, counts)
    episodes = sum(behavior.episodes for behavior in behaviors)
    if not episodes:
        raise ValueError(f"features must be those of at least one episode; got {show(features)}")
    differences = [table.features - table.features[0] for table, _, _ in behaviors]
    sizes, directions = singular_directions(np.concatenate(differences))
    span, null = directions[: len(sizes)], directions[len(sizes) :]
    scaled = [behavior.rescale(span.T / sizes, episodes) for behavior in behaviors]
    bounded = _has_maximum(scaled)
    penalty = 0.0 if bounded else penalty
    first = _read_start(start, sizes[:, None] * span / tau)
    point = _maximize(scaled, penalty / (episodes * sizes**2), first)
    weights = tau * (point / sizes) @ span
    fisher = np.asarray(sum(b.episodes * plan(b.plans, weights, tau).covariance for b in behaviors) / tau**2)
    each = [behavior.log_likelihoods(weights, tau) for behavior in behaviors]
    fitted, saturated, different = (sum(values) for values in zip(*each, strict=True))
    return Probe(
        weights,
        _standard_errors(fisher, span, null) if bounded else np.full(len(weights), np.inf),
        bounded,
        penalty,
        null,
        fisher,
        np.asarray(sum(b.counts @ b.plans.features for b in behaviors) / episodes),
        episodes,
        float(fitted),
        max(2.0 * float(saturated - fitted), 0.0),
        int(different - len(each) - len(span)),
    )


def _read_behaviors(plans: Any, features: Any, counts: Any) -> list[_Behavior]:
    """Behavior in each world that has any."""
    if isinstance(plans, Plans) or not isinstance(plans, list | tuple):
        plans, features, counts = [plans], [features], [counts]
    for table in plans:
        require_plans(table)
    widths = {table.features.shape[1] for table in plans}
    if len(widths) > 1:
        raise ValueError(f"plan tables must have equally many features; got {sorted(widths)}")
    counts = [None] * len(plans) if counts is None else counts
    for name, given in (("features", features), ("counts", counts)):
        if not isinstance(given, list | tuple) or len(given) != len(plans):
            raise ValueError(
                f"{name} must be a list of one array for each of {len(plans)} plan tables; got {show(given)}"
            )
    occurred = map(_count_outcomes, plans, features, counts)
    behaviors = [_Behavior(table, seen, int(seen.sum())) for table, seen in zip(plans, occurred, strict=True)]
    return [behavior for behavior in behaviors if behavior.episodes]


def _count_outcomes(plans: Plans, features: Any, counts: Any) -> Array:
    """How many episodes ended with each outcome, shape (M,)."""
    rows, width = numbers_of(features), plans.features.shape[1]
    if rows is None or rows.ndim != 2 or rows.shape[1] != width or not np.isfinite(rows).all():
        raise ValueError(
            f"features must be finite numbers of shape (episodes, {width}); got {show(features)}"
        )
    many = np.ones(len(rows)) if counts is None else numbers_of(counts)
    if (
        many is None
        or many.shape != (len(rows),)
        or not ((many == np.floor(np.abs(many))) & (many <= _MOST_COUNT)).all()
    ):
        raise ValueError(
            f"counts must be whole numbers in 0…{_MOST_COUNT}, one for each of {len(rows)} rows of features; "
            f"got {show(counts)}"
        )
    distances, nearest = (np.asarray(found) for found in KDTree(plans.features).query(rows, p=np.inf))
    off = np.flatnonzero(distances > _ROUNDING * (1 + np.abs(rows).max(axis=1)))
    if off.size:
        raise ValueError(
            f"features must be those of a plan; got {rows[off[0]].tolist()} in row {off[0]}, and the nearest "
            f"of any plan are {plans.features[nearest[off[0]]].tolist()}"
        )
    return np.bincount(nearest, weights=many, minlength=len(plans.features)).astype(np.float64)


def _read_start(start: ArrayLike | None, coordinates: Array) -> Array:
    """The point (d,) of weights to search from, with the matrix (d, k) of its coordinates; 0 if it is far."""
    rank, width = coordinates.shape
    weights = np.zeros(width) if start is None else numbers_of(start)
    if weights is None or weights.shape != (width,) or not np.isfinite(weights).all():
        raise ValueError(f"start must be {width} finite numbers, one for each feature; got {show(start)}")
    with np.errstate(over="ignore", invalid="ignore"):
        point = coordinates @ weights
    return point if (np.abs(point) < _FAR).all() else np.zeros(rank)


def _has_maximum(worlds: list[_Scaled]) -> bool:
    """Whether the mean of what was seen is inside the convex hull of all outcomes, in all directions.

    It is not if in some direction no outcome is beyond those that were seen, and some fall behind. All that
    were seen are alike in it.
    """
    sizes, directions = singular_directions(np.concatenate([world.seen - world.seen[0] for world in worlds]))
    free = directions[len(sizes) :]
    rows = np.concatenate([world.inputs - world.seen[0] for world in worlds]) @ free.T
    return not len(free) or _surrounds_origin(rows.tobytes(), len(free))


@functools.lru_cache(maxsize=1024)  # whoever probes after every episode sees few sets of outcomes
def _surrounds_origin(rows: bytes, width: int) -> bool:
    """Whether no direction has all points (M, width) on one side of 0, not all in the plane through it."""
    points = np.frombuffer(rows).reshape(-1, width)
    points = points / np.abs(points).max()
    program = linprog(points.sum(axis=0), A_ub=points, b_ub=np.zeros(len(points)), bounds=(-1, 1))
    return bool(program.fun is not None and program.fun > -1e-6)


def _maximize(worlds: list[_Scaled], penalty: Array, point: Array) -> Array:
    """The point of greatest log likelihood per episode, less penalty · point² / 2, from a first one.

    Newton's method. Along a step that changes no difference of scores by more than D, the third derivative
    is at most D times the second. Hence log(1 + D) / D of the step always ascends, and where D < 1/2, whole
    steps converge quadratically.
    """
    for _ in range(_MOST_STEPS if len(point) else 0):
        slope, curvature = _differentiate(worlds, point)
        diagonal = np.einsum("ii->i", curvature)
        diagonal += penalty + 1e-15 * diagonal.sum() + 1e-200  # it may round to a singular matrix otherwise
        step = np.linalg.solve(curvature, slope - penalty * point)
        reach = max(float(np.ptp(world.inputs @ step)) for world in worlds)
        point = point + (step if reach < 0.5 else np.log1p(reach) / reach * step)
        if reach < _SETTLED:
            break
    return point


def _differentiate(worlds: list[_Scaled], point: Array) -> tuple[Array, Array]:
    """Slope (d,) and negative curvature (d, d) of the log likelihood per episode."""
    slope, curvature = np.zeros(len(point)), np.zeros((len(point), len(point)))
    for world in worlds:
        scores = world.log_ways + world.inputs @ point
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        mean = probabilities @ world.inputs
        away = world.inputs - mean
        slope -= world.share * mean
        curvature += world.share * (away.T * probabilities) @ away
    return slope, curvature


def _standard_errors(fisher: Array, span: Array, null: Array) -> Array:
    """Of weights, from the information in directions that the data tell apart."""
    information, directions = np.linalg.eigh(span @ fisher @ span.T)
    variances = (span.T @ directions) ** 2 @ (1 / np.maximum(information, np.finfo(float).tiny))
    unknown = (np.abs(null) > 1e-9).any(axis=0)
    return np.where(unknown, np.inf, np.sqrt(variances))
