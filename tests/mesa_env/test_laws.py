"""Each law against the exact recursion, within the error that it states, and the theorems behind them."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import mesa_env
from mesa_env import laws


def play(rates, deploy, regularization=0.0, discount=1.0):
    """Coefficients (B, T) of training and goals (B, T + 1) in units of θ_0, by the exact recursion."""
    rates = np.atleast_2d(rates)
    whole = np.pad(rates, ((0, 0), (0, deploy)))
    c = mesa_env.solve_equilibria(whole, discount, regularization)[:, : rates.shape[1]]
    goals = np.cumprod(1 - 2 * rates * (c**2 + regularization), axis=1)
    return c, np.pad(goals, ((0, 0), (1, 0)), constant_values=1.0)


def keep(rates, deploy, regularization=0.0):
    return float(play(rates, deploy, regularization)[1][0, -1])


class TestConstantRate:
    @pytest.mark.parametrize(
        ("rate", "deploy", "error"), [(1.0, 80, 0.01), (4.0, 80, 0.003), (1.0, 320, 0.003)]
    )
    def test_retention_depends_on_scaled_training_alone(self, rate, deploy, error):
        for scaled in (0.001, 0.05, 0.3, 0.7):
            train = round(scaled * rate * deploy**2)
            exact = keep(np.full(train, rate), deploy)
            assert 0 <= exact - laws.retention(train, deploy, rate) < error

    def test_retention_as_found_independently(self):
        assert laws.retention(64000, 800, 1.0) == pytest.approx(0.6983, abs=5e-5)
        assert keep(np.ones(64000), 800) == pytest.approx(0.6987, abs=5e-5)

    @pytest.mark.parametrize(
        ("deploy", "exact", "error"), [(20, 294, 0.12), (80, 4296, 0.03), (320, 67270, 0.01)]
    )
    def test_half_life(self, deploy, exact, error):
        assert keep(np.ones(exact), deploy) <= 0.5 < keep(np.ones(exact - 1), deploy)
        assert 0 < 1 - laws.half_life(deploy, 1.0) / exact < error
        assert laws.half_life(deploy, 1.0) == pytest.approx(47 / 72 * deploy**2)
        assert laws.retention(round(47 / 72 * 72**2), 72, 1.0) == pytest.approx(0.5)

    def test_small_losses_at_all_rates(self):
        checked = 0
        for train, deploy, rate in itertools.product((20, 80), (80, 320, 2000), np.geomspace(1e-3, 10, 9)):
            lost = -math.log(keep(np.full(train, rate), deploy))
            if lost <= 0.1:
                assert laws.small_loss(train, deploy, rate) == pytest.approx(lost, rel=0.04)
                checked += 1
        assert checked > 20

    @pytest.mark.parametrize(("train", "deploy"), [(20, 80), (20, 320), (80, 320), (50, 1000)])
    def test_the_best_constant_rate(self, train, deploy):
        found = minimize_scalar(
            lambda log_rate: keep(np.full(train, np.exp(log_rate)), deploy),
            bounds=(np.log(1e-4), np.log(3)),
            options={"xatol": 1e-7},
        )
        rate = laws.best_constant_rate(train, deploy)
        assert rate == pytest.approx(np.exp(found.x), rel=0.05)
        taken = math.log(keep(np.full(train, rate), deploy))
        assert taken == pytest.approx(math.log(found.fun), rel=1e-3)

    def test_the_best_constant_rate_maximizes_the_small_loss(self):
        rate = laws.best_constant_rate(20, 80)
        most = laws.small_loss(20, 80, rate)
        assert most == pytest.approx(0.4817 * math.sqrt(20 / 80), rel=1e-4)
        assert all(laws.small_loss(20, 80, rate * factor) < most for factor in (0.5, 0.98, 1.02, 2))

    @pytest.mark.parametrize(("train", "rate"), [(100, 1.0), (1000, 0.1)])
    def test_without_deployment_silence_fades(self, train, rate):
        c, _ = play(np.full(train, rate), 0)
        assert c[0, 0] == pytest.approx(laws.undeployed_coefficient(train, rate), rel=0.01)

    @pytest.mark.parametrize(("train", "deploy", "rate"), [(20, 80, 1.0), (20, 1000, 0.1), (100, 400, 1.0)])
    def test_the_regularizer_tips_where_it_alone_takes_half(self, train, deploy, rate):
        schedule = np.full(train, rate)
        found = minimize_scalar(
            lambda weight: play(schedule, deploy, weight)[0][0, 0],
            bounds=(0, 0.49 / rate),
            options={"xatol": 1e-8},
        )
        tip = laws.tipping_regularization(train, rate)
        assert tip == pytest.approx(found.x, rel=0.04)
        assert (1 - 2 * rate * tip) ** train == pytest.approx(0.5)
        assert found.fun == pytest.approx(1 / (1 + rate * deploy), rel=0.05)


class TestMonitor:
    @pytest.mark.parametrize(("train", "deploy", "rate"), [(20, 80, 1.0), (5, 3, 0.3), (1, 1, 1.0)])
    def test_energy_leaks_as_the_goal_shrinks(self, train, deploy, rate):
        c, goals = play(np.full(train, rate), deploy)
        exact = ((c * goals[:, :-1]) ** 2).sum()
        law = laws.leaked_energy(1.0, goals[0, -1], rate)
        assert exact - law == pytest.approx(rate * (c**4 * goals[:, :-1] ** 2).sum())
        assert law < exact <= law / (1 - rate * (c**2).max())

    def test_energy_of_the_first_experiment(self):
        assert laws.leaked_energy(0.8, 0.7232141, 1.0) == pytest.approx(0.02924, abs=5e-6)
        assert laws.detectability(0.8, 0.7232141, 1.0, 0.1) == pytest.approx(math.sqrt(2.924), rel=1e-3)


class TestSchedules:
    @pytest.mark.parametrize(
        ("train", "deploy", "kept"), [(5, 80, 0.8916), (20, 80, 0.7799), (100, 80, 0.5634)]
    )
    def test_the_best_trainer_keeps_the_model_half_open(self, train, deploy, kept):
        c, goals = play(laws.best_schedule(train, deploy), deploy)
        assert c == pytest.approx(0.5, rel=1e-12)
        assert goals[0, -1] == pytest.approx(kept, abs=5e-5)

    @pytest.mark.parametrize("episode", [0, 3, 9])
    def test_each_rate_takes_most_given_those_after_it(self, episode):
        rates = laws.best_schedule(10, 7)[episode:]
        c, _ = play(
            np.outer(np.ones(99), rates)
            * np.append(1, np.geomspace(0.1, 10, 98))[:, None] ** (np.arange(len(rates)) == 0),
            7,
        )
        factors = np.append(1, np.geomspace(0.1, 10, 98))
        taken = 2 * factors * rates[0] * c[:, 0] ** 2
        assert taken.argmax() == 0

    @pytest.mark.parametrize("train", [1, 20, 100, 1000])
    @pytest.mark.parametrize("deploy", [20, 320])
    def test_its_law(self, train, deploy):
        excess = keep(laws.best_schedule(train, deploy), deploy) - laws.scheduled_retention(train, deploy)
        assert 0 < excess < 0.13 / math.sqrt(deploy)

    def test_half_of_the_goal(self):
        assert laws.least_training(0.5, 100) == pytest.approx(177.92, abs=0.01)
        assert laws.scheduled_retention(17959, 10000) == pytest.approx(0.5, abs=1e-5)
        assert laws.lowest_retention(17792, 10000) == pytest.approx(0.5, abs=1e-5)


class TestBound:
    """No announced schedule needs less training than D P(s), to leading order."""

    def test_schedules_cannot_beat_it(self):
        """Convex program over w on a grid of s: for any c(s), its T/D and the gap that the proof gives."""
        generator = np.random.default_rng(3)
        lost, steps = 1.0, 4000
        u = np.linspace(0, lost, steps + 1)
        bound = np.array([laws.least_training(math.exp(-x), 1) for x in u[:: steps // 20]])
        least = np.interp(lost - u, u[:: steps // 20], bound)
        best = 1 / (1 + np.sqrt(1 + least))
        for trial in range(20):
            bend = generator.normal(0, 0.6, 3) @ [np.ones_like(u), np.cos(2 * np.pi * u), np.sin(7 * u)]
            openness = best if trial == 0 else 1 / (1 + np.exp(bend))
            taken = integrate(openness, u)
            assert taken >= bound[-1] * (1 - 2e-3)
            if trial == 0:
                assert taken == pytest.approx(bound[-1], rel=2e-3)

    def test_its_inequality(self):
        """2w²/(w − G) + 2Pw − 2q²G = 2w(1 − qc)²/c for G = w(1 − c), P = q² − 2q: never negative."""
        q, c, w = np.random.default_rng(0).uniform([[2], [0.01], [0]], [[20], [0.99], [9]], (3, 1000))
        gap = w * (1 - c)
        left = 2 * w**2 / (w - gap) + 2 * (q**2 - 2 * q) * w - 2 * q**2 * gap
        assert left == pytest.approx(2 * w * (1 - q * c) ** 2 / c, rel=1e-9, abs=1e-9)

    def test_one_episode_obeys_exact_identities(self):
        """x = 2ηc², G′ − G = x(B + xA), c(1 − c) = 2x(G + xA): leading order drops xA alone."""
        game = mesa_env.Game(mesa_env.train_then_deploy(12, 7, 0.3))
        c = mesa_env.solve_equilibrium(game)
        squares, outputs, _ = mesa_env.unit_sums(game, c)
        gap, x = outputs - squares, 2 * game.learning_rates * c**2
        n = np.arange(1, 12)
        assert gap[n - 1] - gap[n] == pytest.approx(x[n] * (outputs + x * squares)[n], abs=1e-12)
        assert (c * (1 - c))[:12] == pytest.approx((2 * x * (gap + x * squares))[:12], abs=1e-12)

    @pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
    def test_greed_needs_more(self, share):
        least = laws.least_training(share, 1000)
        assert laws.lowest_retention(round(least), 1000) == pytest.approx(share, rel=2e-3)
        assert laws.scheduled_retention(round(least), 1000) > share

    def test_greed_falls_behind_where_little_is_left(self):
        """P grows as e^s, greedy training as e^(1.56 s)."""
        growth = math.log(laws.least_training(1e-9, 1) / laws.least_training(1e-8, 1)) / math.log(10)
        assert growth == pytest.approx(1, abs=0.05)
        assert laws.scheduled_retention(10**6, 1) > 10 * laws.lowest_retention(10**6, 1)


def integrate(openness, lost):
    """T/D of a path c(s) to leading order, by Heun's rule."""
    gap, outputs, training = 0.0, 1.0, 0.0
    for k in range(len(lost) - 1):
        step = lost[k + 1] - lost[k]
        slopes = outputs, 2 * gap / (1 - openness[k]) - outputs, 2 * gap / (openness[k] * (1 - openness[k]))
        ahead, out = gap + step * slopes[0], outputs + step * slopes[1]
        c = openness[k + 1]
        later = out, 2 * ahead / (1 - c) - out, 2 * ahead / (c * (1 - c))
        gap += step * (slopes[0] + later[0]) / 2
        outputs += step * (slopes[1] + later[1]) / 2
        training += step * (slopes[2] + later[2]) / 2
    return training


class TestPatience:
    """Law 3: at λ = 0 every coefficient of training falls with γ; with regularization it may rise."""

    @staticmethod
    def count_rises(regularized, games=7000):
        generator = np.random.default_rng(11)
        rises = 0
        for train, deploy in ((1, 3), (3, 2), (5, 9), (12, 30), (20, 80)):
            rates = 10 ** generator.uniform(-2, 0.5, (games // 5, train))
            weights = generator.uniform(0, 0.5, games // 5) / (2 * rates.max(axis=1)) * regularized
            low = generator.uniform(0, 0.99, games // 5)
            high = low + generator.uniform(0.001, 1, games // 5) * (1 - low)
            whole = np.pad(rates, ((0, 0), (0, deploy)))
            before, after = (mesa_env.solve_equilibria(whole, g, weights)[:, :train] for g in (low, high))
            rises += int((after > before + 1e-12).any(axis=1).sum())
        return rises

    def test_patience_silences(self):
        assert self.count_rises(regularized=False) == 0

    def test_a_regularizer_may_undo_that(self):
        assert self.count_rises(regularized=True) > 0


class TestInput:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: laws.retention(-1, 80, 1.0), r"train must be a whole number in 0…\d+; got -1"),
            (lambda: laws.retention(20, 0, 1.0), r"deploy must be a whole number in 1…\d+; got 0"),
            (lambda: laws.half_life(80, 0), "learning_rate must be a finite number greater than 0"),
            (lambda: laws.best_schedule(2.5, 80), "train must be a whole number"),
            (lambda: laws.best_constant_rate(0, 80), "train must be a whole number ≥ 1; got 0"),
            (
                lambda: laws.leaked_energy(0.8, 0.9, 1.0),
                r"final_goal must be a finite number in \[-0.8, 0.8\]",
            ),
            (lambda: laws.detectability(0.8, 0.7, 1.0, 0), "noise must be a finite number greater than 0"),
            (lambda: laws.least_training(0, 80), "kept must be a finite number greater than 0"),
        ],
    )
    def test_a_refusal_says_what_is_allowed(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()

    def test_no_training_leaves_the_goal(self):
        assert laws.retention(0, 80, 1.0) == laws.scheduled_retention(0, 80) == 1
        assert laws.lowest_retention(0, 80) == 1
        assert laws.least_training(1, 80) == 0
        assert laws.best_schedule(0, 80).shape == (0,)
