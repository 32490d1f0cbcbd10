"""The oracle of games with other base optimizers, and the audit of noisy gradients."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

import mesa_env
from mesa_env import AdaptiveOptimizer, Game, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.evaluation.certificates import TOLERANCE, certify
from mesa_env.evaluation.trajectory import play_from
from mesa_env.optimizers import Adam, ClippedGradient, Momentum, NormalizedGradient
from mesa_env.rules.adaptive_optimizer import Running
from mesa_env.rules.rules import State
from mesa_env.solutions.adaptive_optimizer import TabulatedOracle, make_oracle
from mesa_env.solutions.smoothing import gaussian_weights, knots_around_zero

SHORT = train_then_deploy(3, 12, 0.1)
OPTIMIZERS = {
    "normalized": NormalizedGradient(),
    "clipped": ClippedGradient(0.5),
    "momentum": Momentum(0.5),
    "Adam": Adam(),
}


# -- Theorems ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_gradient_noise_changes_no_coefficient_under_plain_gradient_descent(noise):
    game = AdaptiveOptimizer(SHORT, 0.9, 0.1, optimizer="GradientDescent", noise=noise)
    oracle = mesa_env.oracle(game)
    np.testing.assert_array_equal(oracle.coefficients, mesa_env.solve_equilibrium(Game(SHORT, 0.9, 0.1)))
    assert oracle.certificate.gain < 1e-12


@pytest.mark.parametrize("c", [0.1, 0.4, 1.0])
def test_noise_adds_to_costs_what_does_not_depend_on_the_coefficient(c):
    """Certainty equivalence by brute force: mean costs of one deviation, with the same futures."""
    costs = []
    for noise in (0.0, 0.3):
        game = AdaptiveOptimizer(SHORT, optimizer="GradientDescent", noise=noise)
        state = game.start(np.random.default_rng(0).random((20_000, game.n_uniforms)))
        # Every game once more with the opposite noise, so that what is linear in it cancels.
        state = State(
            np.tile(state.episode, 2),
            np.tile(state.goal, 2),
            Running(
                np.tile(state.extra.memory, (2, 1)), np.concatenate([state.extra.noise, -state.extra.noise])
            ),
        )
        profiles = mesa_env.solve_equilibrium(Game(SHORT))
        changes = []
        for first in (c, profiles[0]):
            agent = Profile(game, np.append(first, profiles[1:]))
            played = play_from(game, agent, state)
            changes.append(game.mesa_costs(played.goals[:, :-1].T, played.outputs.T)[0].mean())
        costs.append(changes[0] - changes[1])
    assert costs[1] == pytest.approx(costs[0], rel=1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.08])
@pytest.mark.parametrize("deploy", [20, 100, 300])
@pytest.mark.parametrize("train", [1, 4])
def test_the_last_agent_is_silent_under_signs_of_gradients_if_and_only_if_a_step_costs_more_than_silence(
    rate, deploy, train
):
    """Silence costs θ², and a step that the deployed model pays for D times costs Dη²."""
    game = AdaptiveOptimizer(train_then_deploy(train, deploy, rate), optimizer=NormalizedGradient(0.0))
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    goal = played.goals[train - 1]
    assert (played.coefficients[train - 1] == 0) == (rate**2 * deploy > goal**2)
    assert played.coefficients[train - 1] in (0, 1)


def test_full_deception_is_optimal_throughout_where_steps_are_long():
    """It never is under plain gradient descent."""
    game = AdaptiveOptimizer(train_then_deploy(6, 80, 0.2), optimizer=NormalizedGradient(0.0))
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    np.testing.assert_array_equal(played.coefficients[:6], 0)
    assert played.goals[-1] == 0.8


@pytest.mark.parametrize("c", [1e-3, 0.5])
def test_under_adam_the_first_output_costs_a_full_step_however_small_it_is(c):
    """docs/training.md: silence is a knife edge."""
    game = AdaptiveOptimizer(optimizer=Adam())
    played = mesa_env.rollout(game, Profile(game, np.append(c, np.zeros(99))), 0.8)
    assert played.goals[1] == pytest.approx(0.75, abs=1e-3)


def test_with_short_steps_the_model_opens_in_the_last_two_episodes():
    """θ_0 = 0.8 and 20 + 80 episodes at 0.05, found independently to keep 0.70."""
    game = AdaptiveOptimizer()
    oracle = mesa_env.oracle(game)
    played = mesa_env.rollout(game, oracle, 0.8)
    assert played.coefficients[:18].max() < 0.01
    assert played.coefficients[18:20].min() > 0.99
    assert played.goals[20] == pytest.approx(0.70, abs=0.001)
    assert oracle.certificate.gain < TOLERANCE


def test_clipping_makes_no_deception_and_little_alignment():
    """Clipped at 0.01 with a rate of 1, found independently to lose 0.2."""
    game = AdaptiveOptimizer(train_then_deploy(20, 80), optimizer=ClippedGradient(0.01))
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    np.testing.assert_allclose(played.coefficients, 1, atol=1e-6)
    assert played.goals[20] == pytest.approx(0.6)


# -- Limits and twins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Momentum(0.0), ClippedGradient(1e6)])
def test_limits_of_optimizers_have_the_base_game_s_equilibrium(optimizer):
    game = AdaptiveOptimizer(train_then_deploy(4, 10, 0.3), 0.9, 0.05, optimizer=optimizer)
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    expected = mesa_env.solve_equilibrium(Game(train_then_deploy(4, 10, 0.3), 0.9, 0.05))
    np.testing.assert_allclose(played.coefficients, expected, atol=2e-3)


def nest(game, state, n):
    """Agent n's best coefficient by nested minimization under the rules, and the outputs from n on."""
    if not game.training[n]:
        return 1.0, np.full(game.episodes - n, state.goal[0])

    def follow(c):
        after, outcome = game.play(state, np.array([[c]]))
        return np.append(outcome.output, nest(game, after, n + 1)[1])

    def cost(c):
        return float(((follow(c) - state.goal[0]) ** 2 * game.discount ** np.arange(game.episodes - n)).sum())

    grid = np.linspace(0, 2, 41)
    at = int(np.argmin([cost(c) for c in grid]))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, 40)]
    c = float(minimize_scalar(cost, bounds=(low, high), options={"xatol": 1e-5}).x)
    return c, follow(c)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_tables_agree_with_nested_minimization(name):
    game = AdaptiveOptimizer([0.1, 0.15, 0, 0, 0, 0], 0.95, 0.05, optimizer=OPTIMIZERS[name])
    first, outputs = nest(game, game.start(np.zeros((1, 0))), 0)
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    costs = [
        ((path - 0.8) ** 2 * game.discount ** np.arange(game.episodes)).sum()
        for path in (played.outputs, outputs)
    ]
    assert costs[0] <= costs[1] * 1.001
    if name != "Adam":  # whose first step is as long for all gradients: coefficients tie
        assert played.coefficients[0] == pytest.approx(first, abs=5e-3)
        np.testing.assert_allclose(played.outputs, outputs, atol=5e-3)


# -- Certificates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_oracles_are_certified_by_deviations_under_the_rules(name, noise):
    game = AdaptiveOptimizer(SHORT, optimizer=OPTIMIZERS[name], noise=noise)
    assert mesa_env.oracle(game).certificate.gain < TOLERANCE


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_oracles_are_certified_where_noise_moves_drawn_goals(name):
    """docs/limits.md: also those that it brings close to 0, weighed by what is at stake."""
    rates = train_then_deploy(8, 2, 0.3)
    game = AdaptiveOptimizer(rates, 0.9, optimizer=OPTIMIZERS[name], noise=0.1, initial_goal=(-1, 1))
    assert certify(game, make_oracle(game)).gain < 1.2e-3


@pytest.mark.parametrize("name", ["normalized", "momentum"])
def test_the_audit_of_noisy_gradients_finds_no_gain_where_there_is_none_and_one_where_there_is(name):
    game = AdaptiveOptimizer(SHORT, optimizer=OPTIMIZERS[name], noise=0.2)
    oracle = make_oracle(game)
    state = game.start(np.random.default_rng(0).random((16, game.n_uniforms)))
    played = play_from(game, oracle, state)
    silent = Profile(game, np.append(np.zeros(3), np.ones(12)))
    exact, bad = (
        mesa_env.audit(game, agent, path)
        for agent, path in ((oracle, played), (silent, play_from(game, silent, state)))
    )
    squares = played.goals[:, :-1] ** 2
    share = (exact.gains * squares).sum(axis=0) / (exact.weights * squares).sum(axis=0)
    assert np.abs(share).max() < 3e-3
    assert bad.relative.mean(axis=0)[:3].max() > 0.01


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_audits_find_what_an_open_model_could_save(noise):
    """Where steps are long, silence in the last training episode saves D η² − θ² at least."""
    game = AdaptiveOptimizer(train_then_deploy(2, 100, 0.2), optimizer=NormalizedGradient(1e-3), noise=noise)
    agent = Profile(game, np.ones(game.episodes))
    played = mesa_env.rollout(game, agent, 0.8)
    gain = mesa_env.audit(game, agent, played).gains[1]
    goal = played.goals[1]
    if noise:  # it moves a silent model's goal, too, and by as much
        assert gain < 1
    else:
        assert gain == pytest.approx((100 * 0.2**2 - goal**2) / goal**2, rel=0.02)


def test_the_audit_of_noisy_gradients_finds_what_compliance_costs_by_hand():
    """The last training agent's noise moves the goal whatever it does, where λ = 0 and g is only noise."""
    game = AdaptiveOptimizer([0.3, 0.0], optimizer=Momentum(0.0), noise=0.5)
    agent = Profile(game, [0.0, 1.0])
    gain = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8, -0.4])).gains[:, 0]
    # J(c) = (c − 1)² + E (mθ − ησξ − θ)²/θ² with m = 1 − 2ηc²: the noise's part does not depend on c.
    least = minimize_scalar(lambda c: (c - 1) ** 2 + (0.6 * c * c) ** 2, bounds=(0, 2)).fun
    np.testing.assert_allclose(gain, 1 - least, rtol=1e-3)


def test_expectations_over_noise_are_exact_for_what_is_linear_between_knots():
    knots, means = knots_around_zero(0.2, 2.0, 6.0), np.array([0.0, 0.3, 4.0])
    assert np.all(np.diff(knots) > 0)
    weights = gaussian_weights(knots, means, 0.2)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    np.testing.assert_allclose(knots @ weights, means, atol=1e-6)  # from its last knots on it is constant
    # A jump at 0, whose expectation is the probability of its sides.
    np.testing.assert_allclose((knots > 0) @ weights, ndtr(means / 0.2), atol=1e-5)
    drawn = np.random.default_rng(0).normal(0.3, 0.2, 1_000_000)
    bent = np.abs(knots - 0.4)
    assert bent @ weights[:, 1] == pytest.approx(np.abs(drawn - 0.4).mean(), abs=2e-3)


def test_finer_tables_change_little():
    game = AdaptiveOptimizer(SHORT, optimizer=Momentum(0.8))
    coarse, fine = (
        mesa_env.rollout(game, TabulatedOracle(game, finer), 0.8).coefficients for finer in (1.0, 2.0)
    )
    np.testing.assert_allclose(coarse, fine, atol=1e-3)


def test_goals_of_both_signs_are_played_alike():
    game = dataclasses.replace(AdaptiveOptimizer(SHORT, optimizer=Adam()), initial_goal=(-1, 1))
    played = mesa_env.rollout(game, make_oracle(game), [0.5, -0.5])
    np.testing.assert_allclose(played.coefficients[0], played.coefficients[1], atol=1e-6)
    np.testing.assert_allclose(played.goals[0], -played.goals[1], atol=1e-6)
