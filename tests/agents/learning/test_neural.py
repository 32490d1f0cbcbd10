"""The neural policy: derivatives and gradients against finite differences, and what it learns."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

import mesa_env
from agents.learning import neural
from agents.learning.neural import NeuralPolicy, train_policy
from agents.learning.settings import NeuralSettings
from mesa_env import State, train_then_deploy
from mesa_env.rules.decoupling import Decoupling

WIDE = 50.0  # a decoupling at which no slope is projected
STEP = 1e-5


pytestmark = pytest.mark.usefixtures("one_thread")


def policy_of(game, seed=0, scale=2.0, hidden=(5, 4)):
    """A tiny network in double precision, curved enough to tell."""
    settings = NeuralSettings(hidden=hidden, initial_scale=scale)
    return neural._initial_policy(game, settings, seed).double()


def observation_of(game, episode, goals):
    goals = np.asarray(goals, dtype=np.float64)
    return torch.from_numpy(game.observe(State(np.full(goals.shape, episode), goals)).astype(np.float64))


# -- Derivatives ------------------------------------------------------------------------------------------


def test_the_slope_is_the_derivative_of_the_output():
    game = Decoupling(decoupling=WIDE)
    policy = policy_of(game)
    seen = observation_of(game, 3, np.linspace(-2, 2, 9))
    nudge = torch.tensor([STEP, 0, 0, 0])
    output, slope = policy.local(seen)
    above, below = policy.local(seen + nudge), policy.local(seen - nudge)
    np.testing.assert_allclose(slope, (above[0] - below[0]) / (2 * STEP), rtol=1e-6, atol=1e-8)
    goal = seen[:, 0].clone().requires_grad_()
    torch.testing.assert_close(policy.first_order(goal, seen[:, 1:]), (output, slope), rtol=0, atol=0)
    torch.testing.assert_close(policy(seen), output)


GAMES = {
    "plain": Decoupling(train_then_deploy(4, 3, 0.4), decoupling=WIDE),
    "all": Decoupling([0.5, 0, 0.3, 0.7, 0, 0.2], discount=0.8, regularization=0.3, decoupling=WIDE),
    "projected": Decoupling([1.5, 1.2, 0.3, 0], regularization=0.8, goal_bound=0.9, decoupling=WIDE),
}


def relative_cost(game, policies, goals, first):
    """Relative J_`first` by its own goal when every agent plays its own network, in double precision."""
    goal, cost, weight = goals, 0.0, 0.0
    for k in range(first, game.episodes):
        seen = observation_of(game, k, np.zeros(len(goal)))
        seen[:, 0] = goal
        output, slope = policies[k].local(seen)
        cost = cost + game.discount ** (k - first) * (output - goals) ** 2
        weight += game.discount ** (k - first)
        gradient = 2 * output * slope + 2 * game.regularization * goal
        goal = (goal - game.learning_rates[k] * gradient).clamp(-game.goal_bound, game.goal_bound)
    return cost / ((goals**2 + neural._SMALL) * weight)


def closed_form(game, policy, goals):
    """Objectives and costs by the derivatives of the base update in closed form, projection included.

    dθ_{k+1}/dθ_k = 1 − 2η (s² + y π'' + λ), and 0 where the goal is projected.
    """
    goal = goals.detach().requires_grad_()
    clock = torch.stack([observation_of(game, n, goals[n])[:, 1:] for n in range(game.episodes)])
    output, slope = policy.first_order(goal, clock)
    (curvature,) = torch.autograd.grad(slope.sum(), goal, retain_graph=True)
    rates = torch.from_numpy(game.learning_rates.copy())[:, None]
    after = goals - 2 * rates * (output * slope + game.regularization * goals)
    within = after.abs() <= game.goal_bound
    gamma, future, steer = game.discount, torch.zeros_like(goals), torch.zeros_like(goals)
    weights = torch.zeros_like(goals)
    with torch.no_grad():
        reaction = (1 - 2 * rates * (slope**2 + output * curvature + game.regularization)) * within
        for n in range(game.episodes):
            passed = torch.ones_like(goals[n])
            for k in range(n + 1, game.episodes):
                fade, error = gamma ** (k - n), output[k] - goals[n]
                future[n] += fade * error**2
                steer[n] += 2 * fade * error * slope[k] * passed
                weights[n] += fade
                passed = passed * reaction[k]
    own, scale = (output - goals) ** 2, (goals**2 + neural._SMALL) * (1 + weights)
    projected = after.clamp(-game.goal_bound, game.goal_bound)
    return (own + steer * projected) / scale, (own.detach() + future) / scale


def gradient_of(total, policy):
    """The gradient of a number by all weights, in one vector."""
    weights = list(policy.parameters())
    parts = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", GAMES)
def test_gradients_through_the_rules_are_those_in_closed_form(name, seed):
    game, policy = GAMES[name], policy_of(GAMES[name], seed)
    first = np.random.default_rng(seed).uniform(-0.9, 0.9, 5)
    course = neural._Course(game, torch.float64)
    goals = course.play(policy, first)
    objectives, costs = course.objectives(policy, goals)
    expected, same_costs = closed_form(game, policy, goals)
    torch.testing.assert_close(costs, same_costs, rtol=0, atol=1e-9)
    for n in range(game.episodes):
        gradient = gradient_of(expected[n].sum(), policy)
        torch.testing.assert_close(gradient_of(objectives[n].sum(), policy), gradient, rtol=0, atol=1e-9)
        assert gradient.abs().max() > 1e-3


@pytest.mark.parametrize("name", GAMES)
def test_every_agents_gradient_is_that_of_its_own_cost_with_its_successors_held_fixed(name):
    game = GAMES[name]
    policy, moved = policy_of(game), policy_of(game)
    course = neural._Course(game, torch.float64)
    goals = course.play(policy, np.array([0.8, -0.5, 0.3]))
    objectives, costs = course.objectives(policy, goals)
    assert bool((goals.abs() == game.goal_bound).any()) == (name == "projected")
    generator = torch.Generator().manual_seed(1)
    weights = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
    direction = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
    for n in range(game.episodes):
        expected = relative_cost(game, [policy] * game.episodes, goals[n], n)
        torch.testing.assert_close(costs[n], expected, rtol=1e-6, atol=1e-12)
        predicted = float(gradient_of(objectives[n].sum(), policy) @ direction)
        either = []
        for sign in (1, -1):
            torch.nn.utils.vector_to_parameters(weights + sign * STEP * direction, moved.parameters())
            players = [moved if k == n else policy for k in range(game.episodes)]
            either.append(float(relative_cost(game, players, goals[n], n).sum()))
        assert predicted == pytest.approx((either[0] - either[1]) / (2 * STEP), rel=1e-5, abs=1e-9)
        assert abs(predicted) > 1e-4


# -- Playing ----------------------------------------------------------------------------------------------


def test_what_it_sends_is_its_output_and_its_slope_within_the_bounds():
    game = Decoupling(coefficient_bound=0.5, decoupling=0.1)
    policy = policy_of(game, scale=3.0)
    goals = np.array([-1.0, -0.01, 0.0, 0.3, 1.0])
    seen = game.observe(State(np.full(5, 4), goals))
    sent, memory = policy.predict(seen, state="kept")
    output, slope = policy.local(torch.from_numpy(seen.astype(np.float64)))
    ratio = np.divide(output.numpy(), seen[:, 0], out=np.zeros(5), where=goals != 0)
    np.testing.assert_allclose(sent, np.stack([ratio.clip(-0.5, 0.5), slope.clip(-0.6, 0.6)], -1), rtol=1e-6)
    assert sent.dtype == np.float32
    assert memory == "kept"
    assert np.abs(sent[:, 0]).max() == 0.5 > np.abs(sent[:, 0]).min()  # bounds bind, and not everywhere
    np.testing.assert_array_equal(policy.predict(seen[1])[0], sent[1])
    with pytest.raises(ValueError, match="deterministic must be True or False; got 'no'"):
        policy.predict(seen, deterministic="no")
    with pytest.raises(ValueError, match="observation must have shape"):
        policy.predict(seen[:, :3])


def test_in_training_it_plays_the_game_that_the_environment_plays():
    game = Decoupling(train_then_deploy(5, 3), decoupling=WIDE, initial_goal=(0.2, 1.0))
    policy = neural._initial_policy(game, NeuralSettings(), 3)
    first = np.array([0.3, 0.9, -0.6])
    course = neural._Course(game, torch.float32)
    goals = course.play(policy, first)
    played = mesa_env.rollout(game, policy, first)
    np.testing.assert_allclose(goals, played.goals[:, :-1].T, rtol=1e-5)
    _, costs = course.objectives(policy, goals)
    expected = game.mesa_costs(played.goals[:, :-1].T, played.outputs.T)
    scale = (played.goals[:, :-1].T ** 2 + neural._SMALL) * np.arange(8, 0, -1)[:, None]
    np.testing.assert_allclose(costs, expected / scale, rtol=1e-4)
    env = mesa_env.env(game=dataclasses.replace(game, initial_goal=0.3))
    paid = mesa_env.play(env, policy, seed=0)
    np.testing.assert_allclose(list(paid.values()), -expected[:, 0], rtol=1e-5)


# -- Training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("initial_goal", [0.8, (-1.0, 1.0)])
def test_training_lowers_what_agents_pay(initial_goal):
    game = Decoupling(train_then_deploy(4, 6, 0.5), decoupling=WIDE, initial_goal=initial_goal)
    costs = []
    settings = NeuralSettings(iterations=150, games=4, learning_rate=5e-3, hidden=(16, 16))
    policy = train_policy(game, settings, 0, lambda step, cost: costs.append((step, cost)))
    assert [step for step, _ in costs] == list(range(1, 151))
    assert np.mean([cost for _, cost in costs[-20:]]) < 0.3 * costs[0][1]
    played = mesa_env.rollout(game, policy, 0.8)
    np.testing.assert_allclose(played.coefficients[4:], 1, atol=0.3)


def test_training_is_decided_by_its_seed_and_leaves_the_global_generator_alone():
    game = Decoupling(train_then_deploy(2, 2), initial_goal=(0.1, 1.0))
    settings = NeuralSettings(iterations=3, games=4, hidden=(4,), weight_decay=0.1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (train_policy(game, settings, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for name, weights in one.items():
        assert torch.equal(weights, again[name])
        assert not torch.equal(weights, other[name])


def test_weight_decay_shrinks_weights_and_the_initial_scale_stretches_them():
    game = Decoupling(train_then_deploy(2, 2))

    def size(**changes):
        settings = NeuralSettings(iterations=40, hidden=(8,), **changes)
        return sum(float((w.detach() ** 2).sum()) for w in train_policy(game, settings, 0).parameters())

    assert size(weight_decay=10.0) < 0.7 * size()
    assert size(initial_scale=3.0, learning_rate=1e-9) > 8 * size(learning_rate=1e-9)


# -- On disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
def test_a_policy_comes_back_from_disk_as_it_was(tmp_path, double):
    game = Decoupling(decoupling=0.7)
    policy = neural._initial_policy(game, NeuralSettings(hidden=(6, 3)), 0)
    policy = policy.double() if double else policy
    neural.save(policy, tmp_path / "policy.pt")
    back = neural.load(tmp_path / "policy.pt")
    seen = game.observe(State(np.arange(100), np.linspace(-1, 1, 100)))
    np.testing.assert_array_equal(back.predict(seen)[0], policy.predict(seen)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["policy.pt"]


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_files_that_hold_no_policy_are_refused_and_never_run(tmp_path):
    path = tmp_path / "policy.pt"
    with pytest.raises(ValueError, match="there is none"):
        neural.load(path)
    neural.save(NeuralPolicy((2.0, 3.0), (4,)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="must be a whole policy"):
        neural.load(path)
    weights = NeuralPolicy((2.0, 3.0), (4,)).state_dict()
    for content in (
        Trap(),
        {"config": {"action_bound": [2.0, 3.0], "hidden": [5]}, "weights": weights},
        {"config": {"action_bound": [2.0, 3.0]}},
        {"config": {"action_bound": [2.0, np.nan], "hidden": [4]}, "weights": weights},
        [],
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"policy\.pt must"):
            neural.load(path)
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(ValueError, match="must be a whole policy"):
        neural.load(path)
