"""Optimized schedules against finite differences, brute force, the greedy schedule and the bound on any."""

import numpy as np
import pytest

import mesa_env
from mesa_env import laws
from mesa_env.solutions.schedules import measure_schedule, optimize_schedule


def keep(rates, deploy, regularization=0.0):
    """Retention and training loss by playing the equilibrium."""
    game = mesa_env.Game(np.pad(rates, (0, deploy)), regularization=regularization, initial_goal=1.0)
    played = mesa_env.rollout(game, mesa_env.oracle(game), 1.0)
    return played.goals[len(rates)], (played.outputs[: len(rates)] ** 2).sum()


@pytest.mark.parametrize("regularization", [0.0, 0.05])
@pytest.mark.parametrize("deploy", [0, 5])
def test_measures_are_those_of_play(deploy, regularization):
    rates = np.random.default_rng(1).uniform(0, 0.6, 9)
    found = measure_schedule(rates, deploy, regularization)
    kept, loss = keep(rates, deploy, regularization)
    assert np.exp(found.log_retention) == pytest.approx(kept, rel=1e-6)
    assert found.training_loss == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("regularization", [1e-3, 0.1])
def test_slopes_are_those_of_finite_differences(regularization):
    rates = np.random.default_rng(2).uniform(0.02, 0.6, 8)
    at, step = np.append(rates, regularization), 1e-6
    found = measure_schedule(rates, 5, regularization)
    for n in range(len(at)):
        ends = [
            measure_schedule(x[:-1], 5, x[-1])
            for x in (at + step * (np.arange(9) == n) * side for side in (1, -1))
        ]
        retention, loss = ((ends[0][i] - ends[1][i]) / (2 * step) for i in (0, 1))
        assert found.retention_slopes[n] == pytest.approx(retention, rel=1e-6, abs=1e-8)
        assert found.loss_slopes[n] == pytest.approx(loss, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("train", "deploy", "kept"), [(5, 80, 0.8916), (20, 80, 0.7799), (100, 80, 0.5624)])
def test_the_free_optimum_as_found_independently(train, deploy, kept):
    found = optimize_schedule(train, deploy)
    assert found.retention == pytest.approx(kept, abs=5e-5)
    assert keep(found.rates, deploy) == pytest.approx((found.retention, found.training_loss), rel=1e-6)
    assert np.abs(measure_schedule(found.rates, deploy).retention_slopes[:-1] * found.rates).max() < 1e-5


@pytest.mark.parametrize(("train", "deploy"), [(1, 1), (10, 1), (20, 20), (200, 20), (100, 320)])
def test_no_optimum_beats_the_bound_of_leading_order(train, deploy):
    greedy = np.exp(measure_schedule(laws.best_schedule(train, deploy), deploy).log_retention)
    found = optimize_schedule(train, deploy).retention
    assert laws.least_retention(train, deploy) < found <= greedy * (1 + 1e-9)


@pytest.mark.parametrize(("train", "deploy"), [(20, 1), (200, 1), (300, 3)])
def test_where_deployment_is_short_only_the_proven_bound_holds(train, deploy):
    found = optimize_schedule(train, deploy).retention
    assert laws.least_retention(train, deploy, proven=True) < found < laws.least_retention(train, deploy)


@pytest.mark.parametrize(("train", "deploy"), [(20, 20), (60, 20), (100, 80)])
def test_the_foresighted_schedule_is_nearly_the_optimum(train, deploy):
    foresighted = measure_schedule(laws.foresighted_schedule(train, deploy), deploy).log_retention
    assert 0 <= np.exp(foresighted) - optimize_schedule(train, deploy).retention < 0.0005


def test_two_episodes_by_brute_force():
    first, last = np.meshgrid(np.geomspace(0.02, 2, 400), np.geomspace(0.02, 2, 400))
    rates = np.stack([first.ravel(), last.ravel()], axis=1)
    c = mesa_env.solve_equilibria(np.pad(rates, ((0, 0), (0, 3))))[:, :2]
    kept = (1 - 2 * rates * c**2).prod(axis=1)
    found = optimize_schedule(2, 3)
    assert found.retention <= kept.min()
    assert found.retention == pytest.approx(kept.min(), rel=1e-4)
    assert found.rates == pytest.approx(rates[kept.argmin()], rel=0.03)


class TestBudgets:
    def test_a_bound_on_the_sum_of_rates_is_used_up(self):
        free, bounded = optimize_schedule(20, 80), optimize_schedule(20, 80, total_rate=0.2)
        assert free.rates.sum() > 0.2
        assert bounded.rates.sum() == pytest.approx(0.2, rel=1e-6)
        assert bounded.retention > free.retention
        scaled = 0.2 / free.rates.sum() * free.rates
        assert bounded.retention < np.exp(measure_schedule(scaled, 80).log_retention)

    def test_a_bound_on_the_training_loss_is_used_up(self):
        bounded = optimize_schedule(20, 80, training_loss=0.5)
        assert bounded.training_loss == pytest.approx(0.5, rel=1e-6)
        constant = min(
            np.exp(at.log_retention)
            for at in (measure_schedule(np.full(20, r), 80) for r in np.geomspace(0.02, 3, 60))
            if at.training_loss <= 0.5
        )
        assert optimize_schedule(20, 80).retention < bounded.retention < constant

    def test_what_does_not_bind_changes_nothing(self):
        free = optimize_schedule(10, 20)
        loose = optimize_schedule(10, 20, total_rate=100, training_loss=100)
        assert loose.retention == pytest.approx(free.retention, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0, "deploy": 3}, "train must be a whole number"),
        ({"train": 3, "deploy": 0}, "deploy must be a whole number"),
        ({"train": 3, "deploy": 3, "total_rate": 0}, "total_rate must be a finite number greater than 0"),
        (
            {"train": 3, "deploy": 3, "training_loss": -1},
            "training_loss must be a finite number greater than 0",
        ),
        (
            {"train": 3, "deploy": 3, "regularization": 0.1},
            r"total_rate must be less than .* = 5 .*; got None",
        ),
        (
            {"train": 3, "deploy": 3, "regularization": 0.1, "total_rate": 5.0},
            r"total_rate must be less than .* = 5 .*; got 5.0",
        ),
        ({"train": 3, "deploy": 3, "regularization": -1}, "regularization must be a finite number in"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        optimize_schedule(**arguments)


@pytest.mark.parametrize("regularization", [0.02, 0.1])
def test_with_regularization_the_long_step_stands_where_it_takes_most(regularization):
    """Schedules with one long step are local optima wherever it is; the first episode is the best place."""
    most = -np.log(0.9) / (2 * regularization)
    best = optimize_schedule(12, 80, total_rate=most, regularization=regularization)
    assert best.rates.argmax() == 0
    for long in range(12):
        rates = np.full(12, 0.015)
        rates[long] = most - 11 * 0.015
        assert best.retention < keep(rates, 80, regularization)[0]
