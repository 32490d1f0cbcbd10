"""Learning algorithms by name: what their seeds decide, their parameters, and your own beside them."""

import dataclasses
import io
import json
from importlib import resources

import numpy as np
import pytest
import torch

import agents
import mesa_env
from agents.learning import algorithms
from agents.learning.settings import A2CSettings, OffPolicySettings, PPOSettings
from mesa_env import (
    Decoupling,
    Game,
    GoalTraining,
    HiddenDeployment,
    InfiniteHorizon,
    Misconception,
    train_then_deploy,
)
from mesa_env.rules.infinite_horizon import with_fixed_length

SHORT = Game(train_then_deploy(2, 3), initial_goal=(-1.0, 1.0))
CHOICES = GoalTraining("TableWiping", [0.3, 0.1, 0.0], pursuits=(0.0, 0.5, 1.0))
OFF_POLICY = ("sac", "td3", "tqc", "crossq")
QUICK = {
    "ppo": {"games": 4},
    "a2c": {"games": 4},
    **{key: {"decisions": 8, "updates": 2, "batch_size": 8, "buffer_size": 16} for key in OFF_POLICY},
}


def ignore(turns, agent):
    pass


def train(name, game=SHORT, turns=48, seed=0, watch=ignore, **parameters):
    return algorithms.algorithm(name)(game, turns, seed, watch, **QUICK[name] | parameters)


def mine(game, turns, seed, watch, *, boldness=0.5, needed):
    return agents.make("myopic", game)


def unfit(game):
    return None


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(name):
    first, again, other = (train(name, seed=seed).policy.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_a_learner_plays_the_game_and_is_restored_from_its_file(name, tmp_path):
    learner = train(name)
    buffer = io.BytesIO()
    learner.save(buffer)
    (tmp_path / "model.zip").write_bytes(buffer.getvalue())
    loaded = agents.load(tmp_path / "model.zip")
    goals = np.array([-0.7, 0.2])
    played, again = (mesa_env.rollout(SHORT, agent, goals) for agent in (learner, loaded))
    assert type(loaded).__name__.lower() == name
    np.testing.assert_array_equal(played.coefficients, again.coefficients)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_learners_are_shown_between_updates_and_stay_within_their_turns(name):
    shown = []
    learner = train(name, turns=50, watch=lambda turns, agent: shown.append((turns, agent)))
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
    learner = train(name, game, turns=192, **parameters)
    played = mesa_env.rollout(with_fixed_length(game), learner, np.array([0.3, -0.9]))
    assert np.isfinite(played.outputs[:, :5]).all()


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_on_policy_learners_learn_choices(name):
    learner = train(name, CHOICES, games=8, turns=192)
    played = mesa_env.rollout(CHOICES, learner, [[0.3, 1.0], [0.0, -0.9]])
    assert set(played.coefficients.flat) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize("name", OFF_POLICY)
def test_off_policy_learners_refuse_choices_before_any_work(name):
    message = f"{name} learns continuous actions, and those of GoalTraining are 3 choices; ppo and a2c learn"
    with pytest.raises(ValueError, match=message):
        train(name, CHOICES, watch=lambda *_: pytest.fail("it has begun"))
    with pytest.raises(ValueError, match=message):
        algorithms.check_game(name, CHOICES)


def test_all_learners_accept_all_games_of_numbers_and_yours_any():
    for name in (*algorithms.ALGORITHMS, f"{__name__}:mine"):
        algorithms.check_game(name, SHORT)
    algorithms.check_game(f"{__name__}:mine", CHOICES)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_tuned_parameters_are_the_algorithms_own(name):
    tuned = algorithms.load_tuned(name)
    parameters = algorithms.check_parameters(name, {})
    assert tuned.turns
    assert set(tuned.parameters) <= set(parameters)
    assert parameters == parameters | tuned.parameters
    assert min(tuned.study["seeds"]) >= 100, "reports use the seeds below"
    assert json.loads(resources.files("agents.learning").joinpath("tuned.json").read_text())[name]


def test_your_own_algorithm_is_a_function_of_a_module():
    name = f"{__name__}:mine"
    assert algorithms.algorithm(name) is mine
    assert algorithms.check_parameters(name, {"needed": 1}) == {"boldness": 0.5, "needed": 1}
    assert algorithms.load_tuned(name) == (None, {}, {})


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
        algorithms.check_parameters(name, given)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("sac", {"decisions": 512}, "turns must allow one batch of 512 decisions; got 48"),
        ("a2c", {"games": 16}, "turns must allow one rollout of 16 games"),
        ("ppo", {"first_noise": -1.0}, "first_noise must be a finite number above 0"),
    ],
)
def test_wrong_parameters_are_refused(name, parameters, said):
    with pytest.raises(ValueError, match=said):
        train(name, **parameters)


def test_parameters_are_the_settings_with_their_defaults_except_turns():
    for name, settings, games in (("ppo", PPOSettings(), 16), ("a2c", A2CSettings(), 16)):
        parameters = algorithms.parameters_of(algorithms.algorithm(name))
        assert parameters | {"turns": settings.turns} == dataclasses.asdict(settings) | {"games": games}
    defaults = dataclasses.asdict(OffPolicySettings(turns=512))
    for name in OFF_POLICY:
        parameters = algorithms.parameters_of(algorithms.algorithm(name))
        changed = {key for key in parameters if parameters[key] != defaults[key]}
        assert parameters.keys() == defaults.keys() - {"turns"}
        assert changed == ({"first_exploration", "last_exploration"} if name == "td3" else set())
