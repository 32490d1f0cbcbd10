"""The rules of the game with other base optimizers."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from mesa_env import AdaptiveOptimizer, Game, State, optimizers
from mesa_env.optimizers import (
    OPTIMIZERS,
    Adam,
    ClippedGradient,
    GradientDescent,
    Momentum,
    NormalizedGradient,
)
from mesa_env.rules.parameters import build_game, describe_game

rates = st.lists(st.sampled_from([0.0, 0.05, 0.3, 1.0]), min_size=1, max_size=6)
seeds = st.integers(0, 1000)


def play_out(game, seed, batch=3):
    """States and outcomes of a batch with random actions, shape (N, batch) each."""
    rng = np.random.default_rng(seed)
    uniforms = rng.random((batch, game.n_uniforms))
    state, played = game.start(uniforms, rng.uniform(-1, 1, batch)), []
    for _ in range(game.episodes):
        action = rng.uniform(-1, 1, (batch, 1)) * game.coefficient_bound
        state, outcome = game.play(state, action)
        played.append((state, outcome, action[:, 0]))
    return played


@given(rates, st.sampled_from([0.0, 0.1]), st.sampled_from([0.5, 10.0]), seeds)
def test_plain_gradient_descent_is_the_base_game_bit_for_bit(schedule, regularization, bound, seed):
    shared = {"regularization": regularization, "goal_bound": bound, "initial_goal": bound / 2}
    ours, theirs = (kind(schedule, **shared) for kind in (AdaptiveOptimizer, Game))
    ours = dataclasses.replace(ours, optimizer="GradientDescent")
    for (_, one, _), (_, other, _) in zip(play_out(ours, seed), play_out(theirs, seed), strict=True):
        for field in ("output", "base_loss", "goal", "next_goal", "training"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    state = State(np.arange(ours.episodes), np.full(ours.episodes, bound / 3))
    shown = ours.observe(state._replace(extra=ours.start(np.zeros((ours.episodes, 0))).extra))
    np.testing.assert_array_equal(shown, theirs.observe(state))
    outputs, goals = np.random.default_rng(seed).normal(size=(2, ours.episodes, 2))
    np.testing.assert_array_equal(ours.mesa_costs(goals, outputs), theirs.mesa_costs(goals, outputs))


@pytest.mark.parametrize(
    "limiting", [Momentum(0.0), ClippedGradient(1e30), Adam(0.0, 0.0, 1e6), NormalizedGradient(1e6)]
)
def test_each_optimizer_has_plain_gradient_descent_as_a_limit(limiting):
    """With a large ε, the step is g / ε: gradient descent at a rate that is smaller by as much."""
    slower = getattr(limiting, "epsilon", 1.0)
    plain = AdaptiveOptimizer([0.3 / slower, 0.1 / slower, 0], optimizer=GradientDescent())
    game = AdaptiveOptimizer([0.3, 0.1, 0], optimizer=limiting)
    for (_, one, _), (_, other, _) in zip(play_out(game, 1), play_out(plain, 1), strict=True):
        moved, expected = one.next_goal - one.goal, other.next_goal - other.goal
        np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-12)


def torch_optimizer(optimizer, parameter, rate):
    """PyTorch's own implementation."""
    if isinstance(optimizer, Adam):
        betas = (optimizer.beta1, optimizer.beta2)
        return torch.optim.Adam([parameter], lr=rate, betas=betas, eps=optimizer.epsilon)
    return torch.optim.SGD([parameter], lr=rate, momentum=getattr(optimizer, "momentum", 0.0))


@pytest.mark.parametrize("optimizer", [GradientDescent(), Momentum(0.8), Adam(0.7, 0.9, 1e-3), Adam()])
def test_optimizers_move_the_goal_as_those_of_pytorch_do(optimizer):
    weight, rate = 0.2, 0.1
    game = AdaptiveOptimizer([rate] * 8, regularization=weight, optimizer=optimizer)
    coefficients = np.random.default_rng(0).uniform(-2, 2, game.episodes)
    goal = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    theirs, state = torch_optimizer(optimizer, goal, rate), game.start(np.zeros((1, 0)))
    for c in coefficients:
        theirs.zero_grad()
        ((c * goal) ** 2 + weight * goal**2).backward()
        theirs.step()
        state, _ = game.play(state, np.array([[c]]))
        assert state.goal[0] == pytest.approx(goal.item(), rel=1e-12)


def test_clipped_and_normalized_steps_by_hand():
    clipped = AdaptiveOptimizer([0.5], optimizer=ClippedGradient(0.3))
    normalized = AdaptiveOptimizer([0.5], optimizer=NormalizedGradient(0.1))
    signs = AdaptiveOptimizer([0.5], optimizer=NormalizedGradient(0.0))
    for c, gradient in ((1.0, 1.6), (0.25, 0.1), (0.0, 0.0)):
        after = {
            name: game.play(game.start(np.zeros((1, 0))), np.array([[c]]))[0].goal[0]
            for name, game in {"clipped": clipped, "normalized": normalized, "signs": signs}.items()
        }
        assert after["clipped"] == pytest.approx(0.8 - 0.5 * min(gradient, 0.3))
        assert after["normalized"] == pytest.approx(0.8 - 0.5 * gradient / (gradient + 0.1))
        assert after["signs"] == pytest.approx(0.8 - 0.5 * (gradient > 0))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_deployment_no_step_is_taken_and_none_is_counted(optimizer):
    trained = AdaptiveOptimizer([0.1, 0.2, 0.1], optimizer=optimizer)
    paused = AdaptiveOptimizer([0.1, 0.0, 0.2, 0.0, 0.1], optimizer=optimizer)
    actions = {0: 0.5, 2: 0.9, 4: -0.3}
    state, other = trained.start(np.zeros((1, 0))), paused.start(np.zeros((1, 0)))
    for n in range(paused.episodes):
        before = other
        other, outcome = paused.play(other, np.array([[actions.get(n, 1.0)]]))
        if n in actions:
            state, _ = trained.play(state, np.array([[actions[n]]]))
        else:
            assert not outcome.training[0]
            np.testing.assert_array_equal(other.extra.memory, before.extra.memory)
        np.testing.assert_array_equal(other.goal, state.goal)


@given(st.sampled_from(list(OPTIMIZERS)), rates, st.sampled_from([0.0, 0.5]), seeds)
def test_everything_stays_within_what_agents_may_see(optimizer, schedule, noise, seed):
    game = AdaptiveOptimizer(schedule, goal_bound=1.5, optimizer=optimizer, noise=noise, regularization=0.3)
    low, high = game.observation_bounds
    for state, outcome, _ in play_out(game, seed):
        shown = game.observe(state)
        room = 1e-6 * np.abs(high)
        assert ((low - room <= shown) & (shown <= high + room)).all()
        assert (np.abs(outcome.details["gradient"]) <= game.steepest_gradient).all()


def test_noise_is_standard_normal_and_drawn_anew_for_every_episode():
    game = AdaptiveOptimizer(np.full(5, 0.1), noise=1.0)
    noise = game.start(np.random.default_rng(0).random((20_000, game.n_uniforms))).extra.noise
    assert noise.shape == (20_000, 5)
    assert kstest(noise.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(noise.T) - np.eye(5)).max() < 0.03
    edges = game.start(np.full((1, game.n_uniforms), 1 - 2.0**-53)).extra.noise
    assert np.isfinite(edges).all()


def test_the_base_optimizer_sees_the_gradient_with_its_noise():
    game = AdaptiveOptimizer(np.full(4, 0.1), optimizer=GradientDescent(), noise=0.5, regularization=0.1)
    state = game.start(np.random.default_rng(0).random((3, game.n_uniforms)))
    for n in range(4):
        noise, before = state.extra.noise[:, n], state.goal
        state, outcome = game.play(state, np.full((3, 1), 0.7))
        gradient = 2 * (0.7**2 + 0.1) * before + 0.5 * noise
        np.testing.assert_allclose(outcome.details["gradient"], gradient, rtol=1e-12)
        np.testing.assert_allclose(state.goal, before - 0.1 * gradient, rtol=1e-12)


def test_details_are_what_was_remembered_before_the_step():
    game = AdaptiveOptimizer([0.1, 0.1], optimizer=Adam())
    state = game.start(np.zeros((1, 0)))
    after, first = game.play(state, np.array([[1.0]]))
    _, second = game.play(after, np.array([[1.0]]))
    assert first.details["mean"] == first.details["square"] == 0
    assert second.details["mean"] == pytest.approx(0.1 * first.details["gradient"])
    assert second.details["square"] == pytest.approx(0.001 * first.details["gradient"] ** 2)


# -- Parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("Adam", Adam()),
        (Adam, Adam()),
        ({"optimizer": "Adam", "beta1": 0.5}, Adam(0.5)),
        ({"optimizer": "GradientDescent"}, GradientDescent()),
        (Momentum(0.5), Momentum(0.5)),
    ],
)
def test_an_optimizer_may_be_given_in_any_form(given, made):
    game = AdaptiveOptimizer(optimizer=given)
    assert game.optimizer == made
    assert build_game(describe_game(game)) == game == pickle.loads(pickle.dumps(game))
    assert hash(game) == hash(AdaptiveOptimizer(optimizer=made))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("Adma", ValueError, "optimizer must be one of GradientDescent, .*; got 'Adma'.*Adam"),
        (3, TypeError, "optimizer must be an Optimizer, or one of GradientDescent, .*; got 3"),
        (None, TypeError, "got None"),
        (Game, TypeError, "optimizer must be an Optimizer"),
        ({"beta1": 0.5}, ValueError, "with its own name as 'optimizer'; got {'beta1': 0.5}"),
        ({"optimizer": "Adam", "beta": 0.5}, ValueError, "Adam has no parameter 'beta'; it has beta1, beta2"),
        ({"optimizer": "Adam", "base": 1, "given": 2}, ValueError, "Adam has no parameter 'base'"),
        ({"optimizer": "Adam", "beta1": 1}, ValueError, "beta1 must be below 1 in double precision; got 1"),
        ({"optimizer": "Adam", "beta2": -0.1}, ValueError, "beta2 must be a finite number in"),
        ({"optimizer": "Adam", "epsilon": -1}, ValueError, "epsilon must be"),
        ({"optimizer": "ClippedGradient", "limit": 0}, ValueError, "limit must be"),
        ({"optimizer": "ClippedGradient", "limit": math.nan}, ValueError, "limit must be"),
        ({"optimizer": "Momentum", "momentum": 1.0}, ValueError, "momentum must be below 1"),
        ({"optimizer": "NormalizedGradient", "epsilon": "x"}, ValueError, "epsilon must be"),
    ],
)
def test_what_is_no_optimizer_is_refused_in_one_sentence(given, error, words):
    with pytest.raises(error, match=words):
        AdaptiveOptimizer(optimizer=given)


@pytest.mark.parametrize(
    "parameters",
    [
        {"coefficient_bound": 1e20, "optimizer": "GradientDescent"},
        {"coefficient_bound": 1e10, "optimizer": "Adam"},  # whose squares leave single precision
        {"learning_rates": [1e38], "optimizer": "Momentum"},
        {"noise": 1e38},
    ],
)
def test_gradients_and_steps_must_stay_in_floating_point(parameters):
    with pytest.raises(ValueError, match="remembers must stay within 1e\\+38; got coefficient_bound"):
        AdaptiveOptimizer(**parameters)


@pytest.mark.parametrize("noise", [-1, math.nan, "much", math.inf])
def test_noise_is_a_number_from_0_on(noise):
    with pytest.raises(ValueError, match="noise must be"):
        AdaptiveOptimizer(noise=noise)


@dataclasses.dataclass(frozen=True)
class Halving(GradientDescent):
    """An optimizer of a user's own."""

    def direct(self, gradient, memory, steps):
        """Half the gradient."""
        return gradient / 2, memory


def test_optimizers_of_ones_own_play_but_have_no_plain_form():
    game = AdaptiveOptimizer([0.1], optimizer=Halving())
    after, _ = game.play(game.start(np.zeros((1, 0))), np.array([[1.0]]))
    assert after.goal[0] == pytest.approx(0.8 - 0.1 * 0.8)
    with pytest.raises(ValueError, match=r"an optimizer must be one of GradientDescent, .*; got Halving\(\)"):
        describe_game(game)


def test_the_page_of_optimizers_names_every_one():
    assert all(f"    {name} " in (optimizers.__doc__ or "") for name in OPTIMIZERS)
