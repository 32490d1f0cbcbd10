"""Statistics of runs that differ in their seed alone.

After Agarwal, Schwarzer, Castro, Courville, Bellemare (2021), *Deep Reinforcement Learning at the Edge of the
Statistical Precipice*, NeurIPS, arXiv:2108.13264: interquartile means, which are robust to a lucky or unlucky
seed and use more of the seeds than a median; percentile bootstrap intervals over seeds, stratified by game;
and performance profiles.

The interquartile mean here is exactly that of the middle half: a run on its border counts with the fraction
that lies inside (of ten runs, the third and the eighth by one half). `scipy.stats.trim_mean(values, 0.25)`
drops only whole runs, so that it keeps six of ten.

Percentile intervals rather than BCa: on samples of a log-normal (σ = 0.5 and 1.5), 95 % intervals of this
mean cover the true one in 93 % of samples of ten and in 89 % of samples of five; BCa intervals cover it no
more often, and are undefined for degenerate samples.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mesa_env.rules.rules import Array

CONFIDENCE = 0.95
FEWEST = 3
"""Fewest runs for an interval: two seeds do not show how much a third would differ."""
RESAMPLES = 9999
RESAMPLES_OF_CURVES = 1999
SMALLEST = 1e-12
"""Smallest gain that is told apart from 0 where logarithms are taken."""

Statistic = Callable[..., Array]


class Estimate(NamedTuple):
    """A statistic and its bootstrap interval; NaN where there is none."""

    value: float
    low: float
    high: float


class Band(NamedTuple):
    """A statistic and its interval at every point of a grid, each of shape (T,)."""

    value: Array
    low: Array
    high: Array


def interquartile_mean(values: ArrayLike, axis: int = -1) -> Array:
    """Mean of the middle half of the values along an axis; values on its border count in part."""
    ordered = np.sort(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1), axis=-1)
    count = ordered.shape[-1]
    edges = np.clip(np.arange(count + 1), count / 4, 3 * count / 4)
    weights = np.diff(edges) * (2 / count)
    mean: Array = ordered @ weights
    # Rounding must not take the mean of equal values out of their range.
    return mean.clip(ordered[..., 0], ordered[..., -1])


def finite(values: ArrayLike) -> Array:
    """The values that are finite."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def estimate(*strata: ArrayLike, statistic: Statistic = interquartile_mean) -> Estimate:
    """A statistic of all runs pooled, with its interval.

    Each stratum holds the runs of a game; values that are not finite are left out, and so is a game without
    any other. The estimate is NaN without runs, and has no interval if a game has fewer than `FEWEST`.
    """
    samples = [sample for sample in map(finite, strata) if len(sample)]
    if not samples:
        return Estimate(np.nan, np.nan, np.nan)
    value, low, high = _bootstrap(samples, statistic, RESAMPLES)
    return Estimate(float(value), float(low), float(high))


def band(values: Array, statistic: Statistic = interquartile_mean) -> Band:
    """The statistic of curves of shape (runs, T), with pointwise intervals over the runs."""
    return Band(*_bootstrap([values.T], statistic, RESAMPLES_OF_CURVES))


def profile(strata: Sequence[Array], thresholds: Array) -> Band:
    """Performance profile: share of runs at or below each threshold (T,), with pointwise intervals.

    Each stratum holds the runs of a game; a failed run is NaN, which is above every threshold.
    """
    below = [(sample <= thresholds[:, None]).astype(np.float64) for sample in strata]
    return Band(*_bootstrap(below, np.mean, RESAMPLES_OF_CURVES))


def _bootstrap(samples: Sequence[Array], statistic: Statistic, resamples: int) -> tuple[Array, Array, Array]:
    """A statistic of pooled samples of shape (…, n), with its interval; samples are resampled separately."""

    def pool(*parts: Array, axis: int) -> Array:
        return statistic(np.concatenate(parts, axis=axis), axis=axis)

    value = np.asarray(pool(*samples, axis=-1))
    if min(sample.shape[-1] for sample in samples) < FEWEST:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    interval = stats.bootstrap(
        samples,
        pool,
        axis=-1,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=resamples,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return value, np.asarray(interval.low), np.asarray(interval.high)


def on_common_grid(curves: Sequence[tuple[Array, Array]], points: int = 60) -> tuple[Array, Array]:
    """Interpolate curves measured at different times on one grid.

    Between two measurements, the logarithm of the value is linear in the logarithm of time. The grid covers
    the times that all curves cover, evenly in their logarithm, so that every point has every run.
    Measurements come in order of time; those at time 0, or that are not finite, are left out.

    Returns:
        Times (T,) and values (curves, T); T = 0 if no time is covered by all curves.
    """
    usable = [(times > 0) & np.isfinite(times) & np.isfinite(values) for times, values in curves]
    kept = [(times[use], values[use]) for (times, values), use in zip(curves, usable, strict=True)]
    if not kept or not all(len(times) for times, _ in kept):
        return np.empty(0), np.empty((len(kept), 0))
    first, last = max(times[0] for times, _ in kept), min(times[-1] for times, _ in kept)
    if first > last:
        return np.empty(0), np.empty((len(kept), 0))
    grid = np.geomspace(first, last, points if first < last else 1)
    logs = [
        np.interp(np.log(grid), np.log(times), np.log(np.maximum(values, SMALLEST))) for times, values in kept
    ]
    return grid, np.exp(logs)


def first_time(times: Array, values: Array, threshold: float) -> float:
    """The first time at which a value at or below the threshold was measured; infinite if never."""
    reached = np.flatnonzero(values <= threshold)
    return float(times[reached[0]]) if len(reached) else np.inf


def shortest_half(weights: Array) -> tuple[int, int]:
    """First and last index of the shortest run of neighbors with half of all weight; the earliest if tied."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    starts = np.arange(len(weights))
    # Rounding must not ask for more than the total.
    ends: NDArray[np.intp] = np.searchsorted(sums, sums[:-1] + sums[-1] / 2 * (1 - 1e-12))
    lengths = np.where(ends < len(sums), ends - starts, len(sums))
    start = int(lengths.argmin())
    return start, int(ends[start]) - 1
