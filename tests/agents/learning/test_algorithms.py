"""The learning algorithms as functions, and the problem that the off-policy ones learn."""

import io
import json
import math
from importlib import resources

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import mesa_env
from agents.learning import algorithms
from agents.learning.off_policy import FineSACPolicy, GaussianNoise, PairedAdvantage
from agents.learning.vec_env import BatchedVecEnv
from mesa_env import Decoupling, Game, HiddenDeployment, InfiniteHorizon, Misconception, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.rules.infinite_horizon import with_fixed_length

SHORT = Game(train_then_deploy(2, 3), initial_goal=(-1.0, 1.0))
OFF_POLICY = ("sac", "td3", "tqc", "crossq")
QUICK = {
    "ppo": {"games": 4},
    "a2c": {"games": 4},
    **{key: {"decisions": 8, "updates": 2, "batch_size": 8, "buffer_size": 16} for key in OFF_POLICY},
}


def unwatched(turns, agent):
    pass


def trained(name, game=SHORT, turns=48, seed=0, watch=unwatched, **parameters):
    return algorithms.algorithm(name)(game, turns, seed, watch, **QUICK[name] | parameters)


def mine(game, turns, seed, watch, *, boldness=0.5, needed):
    return agents.make("myopic", game)


def unfit(game):
    return None


def gains(game, log_beyond, decisions=16, successors=None):
    pairs = gym.make_vec("mesa_env/BestResponse-v0", num_envs=2 * decisions, game=game, successors=successors)
    return PairedAdvantage(BatchedVecEnv(pairs, group_size=2), log_beyond)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(name):
    first, again, other = (trained(name, seed=seed).policy.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_what_is_learned_plays_the_game_and_comes_back_from_its_file(name, tmp_path):
    learner = trained(name)
    buffer = io.BytesIO()
    learner.save(buffer)
    (tmp_path / "model.zip").write_bytes(buffer.getvalue())
    loaded = agents.load(tmp_path / "model.zip")
    goals = np.array([-0.7, 0.2])
    played, again = (mesa_env.rollout(SHORT, agent, goals) for agent in (learner, loaded))
    assert type(loaded).__name__.lower().endswith("learner" if name == "ppo" else name)
    np.testing.assert_array_equal(played.coefficients, again.coefficients)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_learners_are_shown_between_updates_and_stay_within_their_turns(name):
    shown = []
    learner = trained(name, turns=50, watch=lambda turns, agent: shown.append((turns, agent)))
    turns = [turns for turns, _ in shown]
    assert turns == sorted(set(turns))
    assert turns[0] > 0
    assert turns[-1] < 50
    assert learner.num_timesteps <= 50
    assert all(
        isinstance(agent.predict(np.zeros((1, 4), dtype=np.float32))[0], np.ndarray) for _, agent in shown
    )


@pytest.mark.parametrize("name", ["a2c", "sac"])
@pytest.mark.parametrize(
    "game",
    [
        Misconception(train_then_deploy(2, 3), initial_belief=(-1.0, 1.0), initial_goal=(-1.0, 1.0)),
        Decoupling(train_then_deploy(2, 3), initial_goal=(-1.0, 1.0)),
        HiddenDeployment(np.ones(5), initial_goal=(-1.0, 1.0)),
        InfiniteHorizon(train_then_deploy(2, 1), discount=0.5, max_episodes=12, initial_goal=(-1.0, 1.0)),
    ],
    ids=lambda game: type(game).__name__,
)
def test_variants_are_learned_by_the_same_functions(name, game):
    parameters = {"games": 8} if name == "a2c" else {}
    learner = trained(name, game, turns=192, **parameters)
    played = mesa_env.rollout(with_fixed_length(game), learner, np.array([0.3, -0.9]))
    assert np.isfinite(played.outputs[:, :5]).all()


def test_gains_are_what_is_gained_over_complying():
    game = Game(train_then_deploy(2, 3), initial_goal=0.5)
    coefficients = mesa_env.solve_equilibrium(game)
    posed = gains(game, log_beyond=0.1, successors=coefficients)
    posed.seed(7)
    observation = posed.reset()
    actions = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    _, paid, dones, _ = posed.step(actions)
    episode = game.episode_from_observation(observation)
    assert dones.all()
    assert len(set(episode)) > 2

    def cost(n, c):
        played = mesa_env.rollout(game, Profile(game, [*[0] * n, c, *coefficients[n + 1 :]]), 0.5)
        # Nothing is taken from the goal before n, so that it is judged by 0.5.
        return float(((played.outputs[n:] - 0.5) ** 2).sum())

    expected = [
        (cost(n, 0.0) - cost(n, float(c))) / 0.25 for n, c in zip(episode, actions[:, 0], strict=True)
    ]
    np.testing.assert_allclose(0.1 * np.sinh(paid), expected, rtol=1e-4, atol=1e-5)


def test_gains_of_games_of_chance_are_not_squashed():
    game = HiddenDeployment(np.ones(4), initial_goal=0.5)
    posed = [gains(game, log_beyond) for log_beyond in (math.inf, 0.1)]
    paid = []
    for environment in posed:
        environment.seed(1)
        environment.reset()
        paid.append(environment.step(np.full((16, 1), 0.3, dtype=np.float32))[1])
    np.testing.assert_allclose(0.1 * np.sinh(paid[1]), paid[0], rtol=1e-3, atol=1e-5)
    assert np.abs(paid[0]).max() > 0.1


def test_actions_near_zero_have_room_and_come_back():
    space = gym.spaces.Box(-2, 2, (1,), np.float32)
    seen = gym.spaces.Box(-1, 1, (4,), np.float32)
    policy = FineSACPolicy(seen, space, lambda _: 1e-3, action_resolution=4.0)
    outputs = np.linspace(-1, 1, 41, dtype=np.float32)[:, None]
    actions = policy.unscale_action(outputs)
    assert space.contains(actions[0])
    assert space.contains(actions[-1])
    assert actions[-1] == 2
    np.testing.assert_allclose(policy.scale_action(actions), outputs, atol=1e-6)
    assert np.abs(actions[np.abs(outputs) <= 0.5]).max() < 0.3  # where an even scale has 1


def test_noise_is_drawn_from_a_generator_of_its_own():
    first, again = (GaussianNoise((3, 2), 0.5, seed=1)() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 2)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_tuned_parameters_are_the_algorithms_own(name):
    tuned = algorithms.tuned(name)
    parameters = algorithms.checked_parameters(name, {})
    assert tuned.turns
    assert set(tuned.parameters) <= set(parameters)
    assert parameters == parameters | tuned.parameters
    assert min(tuned.study["seeds"]) >= 100, "reports use the seeds below"
    assert json.loads(resources.files("agents.learning").joinpath("tuned.json").read_text())[name]


def test_an_algorithm_of_ones_own_is_a_function_of_a_module():
    name = f"{__name__}:mine"
    assert algorithms.algorithm(name) is mine
    assert algorithms.checked_parameters(name, {"needed": 1}) == {"boldness": 0.5, "needed": 1}
    assert algorithms.tuned(name) == (None, {}, {})


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("pppo", {}, "did you mean 'ppo'"),
        ("nowhere.at.all:f", {}, "must name a function"),
        ("math:nothing", {}, "must name a function"),
        ("math:pi", {}, "must be a function of"),
        (f"{__name__}:unfit", {}, "must be a function of"),
        ("sac", {"learning_rates": 1}, "did you mean 'learning_rate'"),
        (f"{__name__}:mine", {}, "needs its parameter 'needed'"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(name, given, said):
    with pytest.raises(ValueError, match=said):
        algorithms.checked_parameters(name, given)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("sac", {"decisions": 0}, "decisions must be a whole number ≥ 1; got 0"),
        ("sac", {"updates": 1.5}, "updates must be a whole number ≥ 1; got 1.5"),
        ("td3", {"learning_rate": math.nan}, "learning_rate must be a finite number above 0; got nan"),
        ("tqc", {"action_resolution": 0.0}, "action_resolution must be a finite number above 0; got 0.0"),
        ("crossq", {"activation": "step"}, "activation must be one of relu, silu, tanh; got 'step'"),
        ("sac", {"decisions": 512}, "turns must allow one batch of 512 decisions; got 48"),
        ("a2c", {"games": 16}, "turns must allow one rollout of 16 games"),
        ("ppo", {"first_noise": -1.0}, "first_noise must be a finite number above 0"),
    ],
)
def test_wrong_parameters_are_refused(name, parameters, said):
    with pytest.raises(ValueError, match=said):
        trained(name, **parameters)
