"""The rules play the same games on NumPy, on PyTorch with autograd, and on JAX under jit."""

import array_api_compat.torch
import jax
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mesa_env import AdaptiveOptimizer, Decoupling, Game, InfiniteHorizon, Misconception, Preservation
from mesa_env.optimizers import OPTIMIZERS
from mesa_env.rules.preservation import RESULT
from mesa_env.rules.rules import State, base_update

RULES = (Game, InfiniteHorizon, Misconception, Decoupling, Preservation, AdaptiveOptimizer)
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


@st.composite
def games(draw):
    """A short game of one of the classes, with everything drawn that can be."""
    kind = draw(st.sampled_from(RULES))
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 1.0]), min_size=1, max_size=4)),
        "discount": draw(st.sampled_from([0.0, 0.9] if kind is InfiniteHorizon else [0.0, 0.9, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.1])),
        "goal_bound": draw(st.sampled_from([1.0, 10.0])),
        "initial_goal": draw(st.sampled_from([0.8, (-1.0, 1.0)])),
    }
    extra = {
        Game: {},
        InfiniteHorizon: {"max_episodes": 6, "ends": draw(st.booleans())},
        Misconception: {
            "belief_learning_rate": draw(st.sampled_from([0.0, 0.5])),
            "initial_belief": draw(st.sampled_from([0.3, (-1.0, 1.0)])),
        },
        Decoupling: {"decoupling": draw(st.sampled_from([0.0, 0.5]))},
        AdaptiveOptimizer: {
            "optimizer": draw(st.sampled_from(list(OPTIMIZERS))),
            "noise": draw(st.sampled_from([0.0, 0.3])),
        },
        Preservation: {"weight": draw(st.sampled_from([0.0, 0.3, 1.0]))},
    }
    return kind(**parameters, **extra[kind])


def play_through(game, uniforms, actions):
    """Everything that two games in a batch produce; their preferences stay those of the first agents."""
    state = game.start(uniforms)
    first, shown = game.preferences(state), []
    goals, outputs, results = [], [], []
    for n in range(game.episodes):
        observation = game.observe(state)
        before = state.episode
        state, outcome = game.play(state, actions[n])
        goals.append(outcome.goal)
        outputs.append(outcome.output)
        results.append(outcome.next_goal)
        costs = game.mesa_cost(outcome.output, first, before, outcome.details)
        shown += [observation, *outcome.info().values(), costs, *game.over(state)]
    stack = (array_api_compat.torch if torch.is_tensor(goals[0]) else jax.numpy).stack
    stack = np.stack if isinstance(goals[0], np.ndarray) else stack
    costs = game.mesa_costs(stack(goals), stack(outputs), {RESULT: stack(results)})
    return [*shown, game.observe(state), costs]


@given(games(), st.integers(0, 2**32 - 1))
def test_the_same_games_on_numpy_and_pytorch(game, seed):
    uniforms, actions = drawn_numbers(game, seed)
    expected = play_through(game, uniforms, actions)
    found = play_through(game, torch.from_numpy(uniforms), torch.from_numpy(actions))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(np.asarray(other), one, **ROUNDING)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_the_same_games_on_numpy_and_under_jit(kind, discount):
    own = {InfiniteHorizon: {"max_episodes": 8}, AdaptiveOptimizer: {"optimizer": "Adam", "noise": 0.2}}.get(
        kind, {}
    )
    game = kind([1.0, 0.1, 0.0], discount, 0.1, initial_goal=(-1.0, 1.0), **own)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda uniforms, actions: play_through(game, uniforms, actions))
        for seed in range(5):
            uniforms, actions = drawn_numbers(game, seed)
            expected = play_through(game, uniforms, actions)
            for one, other in zip(expected, compiled(uniforms, actions), strict=True):
                np.testing.assert_allclose(np.asarray(other), one, **ROUNDING)


@given(st.floats(-1, 1), st.floats(-2, 2), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 0.2]))
def test_gradients_flow_through_the_base_update(goal, c, rate, regularization):
    game = Game([rate], regularization=regularization)
    action = torch.tensor([[c]], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([goal], dtype=torch.float64, requires_grad=True)
    after, _ = game.play(State(torch.zeros(1, dtype=torch.int64), start), action)
    by_goal, by_action = torch.autograd.grad(after.goal.sum(), (start, action))
    assert by_goal.item() == pytest.approx(1 - 2 * rate * (c * c + regularization))
    assert by_action.item() == pytest.approx(-4 * rate * c * goal)


def test_a_projected_goal_has_no_gradient():
    goal = torch.tensor([0.5], requires_grad=True)
    after = base_update(goal, 4.0, 1.0, 0.0, bound=1.0)
    assert after.item() == -1.0
    assert torch.autograd.grad(after.sum(), goal)[0].item() == 0.0


def drawn_numbers(game, seed):
    """Uniforms (2, n) and actions (N, 2, A) within the bounds."""
    generator = np.random.default_rng(seed)
    bound = game.action_bound
    uniforms = generator.random((2, game.n_uniforms))
    return uniforms, generator.uniform(-bound, bound, (game.episodes, 2, len(bound)))
