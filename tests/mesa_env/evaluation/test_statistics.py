"""Interquartile means, bootstrap intervals, curves on a common grid: against cases worked out by hand."""

import numpy as np
import pytest

from mesa_env.evaluation.statistics import (
    Estimate,
    band,
    estimate,
    first_time,
    interquartile_mean,
    on_common_grid,
    profile,
    shortest_half,
)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.5),
        ([9.0, 1.0, 2.0], (1 / 4 * 1 + 1 * 2 + 1 / 4 * 9) / 1.5),
        ([1.0, 2.0, 3.0, 100.0], 2.5),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4.5),
        ([0, 0, 0, 10, 10, 10, 10, 10, 1e9, 1e9], (0.5 * 0 + 4 * 10 + 0.5 * 10) / 5),
        ([0.1] * 7, 0.1),
    ],
)
def test_the_interquartile_mean_is_that_of_the_middle_half(values, mean):
    assert interquartile_mean(values) == pytest.approx(mean, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "mean"),
    [([1.0, 2.0, 3.0, np.inf], 2.5), ([-np.inf, 1.0, 2.0, np.inf], 1.5), ([1.0, 2.0, 3.0, np.nan], np.nan)],
)
def test_what_lies_outside_the_middle_half_may_be_infinite_but_not_unknown(values, mean):
    np.testing.assert_equal(float(interquartile_mean(values)), mean)


def test_without_any_weight_the_first_of_all_is_the_shortest_half():
    assert shortest_half([0.0, 0.0, 0.0]) == (0, 0)
    assert shortest_half([1e308, 1e308]) == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean([]), "values must have at least one entry along axis -1"),
        (lambda: interquartile_mean([1.0], axis=1), "values must have at least one entry along axis 1"),
        (lambda: estimate([1.0], ["a"]), r"values must be numbers; got \['a'\]"),
        (lambda: estimate(np.zeros(20_000)), "a game must have at most 10000 runs; got 20000"),
        (lambda: band([1.0, 2.0]), "values must be numbers in an array of shape "),
        (lambda: band([[1.0, np.inf]]), "values must be finite, of at least one run and time"),
        (lambda: profile([], [1.0]), r"strata must hold at least one run; got \[\]"),
        (lambda: profile([[1.0]], "x"), "thresholds must be numbers in an array"),
        (
            lambda: on_common_grid([([1.0, 2.0], [1.0])]),
            "each time must have one value; got 2 times and 1 val",
        ),
        (lambda: on_common_grid([([2.0, 1.0], [1.0, 1.0])]), "times must be in ascending order"),
        (lambda: on_common_grid([], points=0), "points must be a whole number in 1…1000000; got 0"),
        (lambda: on_common_grid([1.0]), "curves must be a sequence of pairs"),
        (lambda: first_time([1.0], [1.0], "low"), "threshold must be a finite number"),
        (lambda: shortest_half([-1.0]), "weights must be finite numbers ≥ 0"),
    ],
)
def test_what_no_statistic_can_be_taken_of_is_refused_in_one_sentence(call, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        call()


def test_it_is_taken_along_any_axis():
    values = np.random.default_rng(0).random((5, 3, 4))
    for axis, moved in ((0, values.transpose(1, 2, 0)), (1, values.transpose(0, 2, 1)), (-1, values)):
        expected = np.apply_along_axis(interquartile_mean, -1, moved)
        np.testing.assert_allclose(interquartile_mean(values, axis=axis), expected, rtol=1e-15)


def test_intervals_are_reproducible_hold_the_estimate_and_need_three_runs():
    sample = np.random.default_rng(1).lognormal(size=10)
    first, again = estimate(sample), estimate(sample)
    assert first == again
    assert first.low < first.value < first.high
    assert np.isnan(estimate(sample[:2]).low)
    assert estimate(sample[:2]).value == pytest.approx(sample[:2].mean())
    assert estimate([2.0] * 5) == Estimate(2.0, 2.0, 2.0)
    assert np.isnan(estimate([np.nan, np.inf])).all()
    assert estimate([1.0, np.nan, 1.0, 1.0]).value == 1


def test_games_are_resampled_by_themselves():
    """Where runs differ between games and not within them, there is nothing that seeds could change."""
    pooled = estimate([1.0] * 4, [3.0] * 4)
    assert pooled == Estimate(2.0, 2.0, 2.0)
    together = estimate([1.0] * 4 + [3.0] * 4)
    assert together.low < together.high


def test_a_band_is_the_estimate_at_every_point():
    curves = np.random.default_rng(2).random((6, 3))
    found = band(curves)
    np.testing.assert_allclose(found.value, interquartile_mean(curves, axis=0))
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


def test_a_profile_is_the_share_of_runs_at_or_below():
    found = profile([np.array([1.0, 2.0, np.nan]), np.array([1.0, 4.0, 8.0])], np.array([0.5, 1.0, 4.0, 9.0]))
    np.testing.assert_allclose(found.value, [0, 2 / 6, 4 / 6, 5 / 6])


def test_curves_meet_on_the_times_they_share():
    falling = np.array([1.0, 10.0, 100.0]), np.array([1.0, 0.1, 0.01])
    level = np.array([2.0, 50.0]), np.ones(2)
    grid, values = on_common_grid([falling, level], points=5)
    np.testing.assert_allclose(grid, np.geomspace(2, 50, 5))
    np.testing.assert_allclose(values[0], 1 / grid)
    np.testing.assert_allclose(values[1], 1)
    apart = [(np.array([1.0, 2.0]), np.ones(2)), (np.array([3.0, 4.0]), np.ones(2))]
    assert on_common_grid(apart)[1].shape == (2, 0)
    assert len(on_common_grid([])[0]) == 0
    zero = [(np.array([0.0, 1.0, 4.0]), np.array([5.0, 2.0, 2.0]))]
    assert on_common_grid(zero)[0][0] == 1


def test_first_times_and_shortest_halves():
    assert first_time(np.array([1.0, 2.0, 3.0]), np.array([5.0, 0.1, 0.2]), 0.1) == 2
    assert first_time(np.array([1.0]), np.array([5.0]), 0.1) == np.inf
    assert shortest_half(np.array([1.0, 1.0, 5.0, 1.0])) == (2, 2)
    assert shortest_half(np.array([1.0, 1.0, 1.0, 1.0])) == (0, 1)
    assert shortest_half(np.array([0.0, 3.0])) == (1, 1)
