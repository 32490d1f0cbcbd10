"""Self-play in the variants: twins, advantages, features, policies with memory, and the disk."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.callbacks import BaseCallback

import agents
import mesa_env
from agents.learning import checkpoints, self_play
from agents.learning.callbacks import LearningCurve
from agents.learning.self_play import callbacks, cost_is_complete, learn, new_learner, settled_returns
from agents.learning.settings import (
    FEATURES,
    GROUP_SIZE,
    AngleFeatures,
    ClockFeatures,
    HiddenFeatures,
    Learner,
    PatienceFeatures,
    PPOSettings,
    RecurrentLearner,
    make_games,
)
from agents.learning.vec_env import BatchedVecEnv
from mesa_env import (
    GAMES,
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)
from mesa_env.problems import start_at_random_turn
from mesa_env.rules.infinite_horizon import with_fixed_length

SHORT = {
    "DeceptiveAlignment": Game([1, 0.5, 0, 0.25], 0.9, initial_goal=(-1, 1)),
    "InfiniteHorizon": InfiniteHorizon([1, 0.5], discount=0.5, max_episodes=8, initial_goal=(-1, 1)),
    "Misconception": Misconception([0.3, 0.1, 0.0], initial_goal=(-1, 1), initial_belief=(-0.5, 0.5)),
    "LearnableDiscount": LearnableDiscount([0.1, 0.1, 0.0], discount=(0.3, 0.9), initial_goal=(-1, 1)),
    "HiddenDeployment": HiddenDeployment(np.ones(4), hazard=0.3, shift=1.5, initial_goal=(-1, 1)),
    "Decoupling": Decoupling([1, 0.5, 0.0], initial_goal=(-1, 1)),
}
every_game = pytest.mark.parametrize("name", SHORT)
SIGNAL = HiddenDeployment(np.ones(4), hazard=0.3, shift=1.5, observed="signal", initial_goal=(-1, 1))


def tiny(game, rollouts=2, **changes):
    parameters = {"games": 16, "epochs": 1, "minibatches": 2, "hidden": 8} | changes
    return PPOSettings(turns=parameters["games"] * game.episodes * rollouts, **parameters)


def observation_space(game):
    low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
    return Box(low, high, dtype=np.float32)


def seen(game, games=50):
    """Observations of agents everywhere in the game."""
    state = start_at_random_turn(game, np.random.default_rng(0).random((games, 1 + game.n_uniforms)))
    return game.observe(state)


def test_the_table_of_these_tests_holds_every_game():
    assert SHORT.keys() == GAMES.keys()
    assert all(type(game) is GAMES[name] for name, game in SHORT.items())


# -- Twins ------------------------------------------------------------------------------------------------


@every_game
def test_games_have_twins_where_more_than_the_goal_s_scale_sets_them_apart(name):
    game = SHORT[name]
    assert PPOSettings().group_size_in(game) == (
        1 if name in ("DeceptiveAlignment", "InfiniteHorizon", "Decoupling") else GROUP_SIZE
    )
    assert PPOSettings(games=12, group_size=4).group_size_in(game) == 4
    assert PPOSettings(games=12, group_size=1).group_size_in(game) == 1


@pytest.mark.parametrize(
    ("games", "group_size", "said"), [(12, None, GROUP_SIZE), (12, 5, 5), (12, 24, 24), (12, 0, 0)]
)
def test_games_that_cannot_be_shared_out_among_twins_are_refused(games, group_size, said):
    settings, game = PPOSettings(turns=10_000, games=games, group_size=group_size), SHORT["Misconception"]
    for refused in (
        settings.group_size_in,
        settings.whole_turns,
        lambda game: new_learner(game, settings, 0),
    ):
        with pytest.raises(
            ValueError, match=f"games must be a multiple of group_size; got 12 games in groups of {said}"
        ):
            refused(game)


@pytest.mark.parametrize("group_size", [1, 2, 4])
@pytest.mark.parametrize("name", ["Misconception", "LearnableDiscount", "HiddenDeployment"])
def test_twins_meet_the_same_chance_game_after_game_and_others_another(name, group_size):
    game = SHORT[name]
    env = BatchedVecEnv(make_games(game, PPOSettings(games=8)), group_size)
    env.seed(5)
    # What twins do alike cannot set them apart, so that only chance can.
    actions = np.full((8, len(game.action_bound)), 0.5, dtype=np.float32)
    begun = [env.reset()]
    for _ in range(3):
        games = [begun[-1]]
        for _ in range(game.episodes):
            observation, *_ = env.step(actions)
            games.append(observation)
        begun.append(games[-1])
        for shown in games:
            groups = shown.reshape(8 // group_size, group_size, -1)
            np.testing.assert_array_equal(groups, np.repeat(groups[:, :1], group_size, axis=1))
            assert len(np.unique(groups[:, 0], axis=0)) == 8 // group_size
    assert len(np.unique([goals[0, 0] for goals in begun])) == len(begun)


def test_twins_see_the_same_signals_whatever_they_do():
    """But for the goal, which their own actions move, twins see the same."""
    env = BatchedVecEnv(make_games(SIGNAL, PPOSettings(games=8)), 4)
    env.seed(5)
    env.reset()
    generator, moved = np.random.default_rng(0), False
    for _ in range(3 * SIGNAL.episodes):
        observation, *_ = env.step(generator.uniform(-2, 2, (8, 1)).astype(np.float32))
        groups = observation.reshape(2, 4, -1)
        np.testing.assert_array_equal(groups[..., 1:], np.repeat(groups[:, :1, 1:], 4, axis=1))
        assert (groups[0, 0, 4:] != groups[1, 0, 4:]).all()
        moved |= len(np.unique(groups[0, :, 0])) > 1
    assert moved


# -- Advantages -------------------------------------------------------------------------------------------


class Recorder(BaseCallback):
    """Keeps what every rollout was trained with."""

    def __init__(self):
        super().__init__()
        self.advantages, self.returns = [], []

    def _on_rollout_end(self):
        self.advantages.append(self.model.rollout_buffer.advantages.copy())
        self.returns.append(self.model.rollout_buffer.returns.copy())

    def _on_step(self):
        return True


def recorded(game, settings):
    recorder = Recorder()
    model = new_learner(game, settings, 0)
    model.learn(settings.whole_turns(game), callback=[*callbacks(game, settings), recorder])
    return recorder


@pytest.mark.parametrize("group_size", [2, 4, 8])
@pytest.mark.parametrize("name", ["Misconception", "HiddenDeployment"])
def test_advantages_compare_twins_with_their_own_mean(name, group_size):
    game = SHORT[name]
    recorder = recorded(game, tiny(game, group_size=group_size))
    assert len(recorder.advantages) == 2
    for advantages, returns in zip(recorder.advantages, recorder.returns, strict=True):
        groups = advantages.reshape(game.episodes, 16 // group_size, group_size)
        np.testing.assert_allclose(groups.mean(axis=2), 0, atol=1e-5)
        np.testing.assert_allclose((advantages**2).mean(axis=1), 1, rtol=1e-4)
        worth = returns.reshape(groups.shape)
        surprise = worth - worth.mean(axis=2, keepdims=True)
        spread = np.sqrt((surprise**2).mean(axis=(1, 2), keepdims=True))
        np.testing.assert_allclose(groups, surprise / spread, rtol=1e-3, atol=1e-4)


def test_without_twins_all_games_are_each_other_s_baseline():
    game = SHORT["Misconception"]
    for advantages in recorded(game, tiny(game, group_size=1)).advantages:
        np.testing.assert_allclose(advantages.mean(axis=1), 0, atol=1e-5)
        assert np.abs(advantages.reshape(game.episodes, 2, 8).mean(axis=2)).max() > 1e-3


def test_agents_whose_future_is_cut_off_learn_nothing():
    game = SHORT["InfiniteHorizon"]
    assert 0 < cost_is_complete(game).sum() < game.episodes
    for advantages in recorded(game, tiny(game)).advantages:
        np.testing.assert_array_equal(advantages[~cost_is_complete(game)], 0)
        assert (np.abs(advantages[cost_is_complete(game)]).max(axis=1) > 0.5).all()


def test_settled_returns_of_variants_are_judged_by_their_own_discounts():
    game = SHORT["LearnableDiscount"]
    played = mesa_env.rollout(game, agents.make("myopic", game), [0.8, -0.3])
    details = {name: values.T for name, values in played.details.items()}
    goals, outputs = played.goals[:, :-1].T, played.outputs.T
    returns = settled_returns(game, goals, outputs, details)
    for n in range(game.episodes):
        for row in range(2):
            gamma, goal = details["discount"][n, row], goals[n, row]
            later = range(n, game.episodes)
            cost = sum(gamma ** (k - n) * (outputs[k, row] - goal) ** 2 for k in later)
            silence = sum(gamma ** (k - n) * goal**2 for k in later)
            assert returns[n, row] == pytest.approx(-cost / silence, rel=1e-5, abs=1e-6)


def test_games_without_end_that_are_cut_too_soon_are_refused():
    game = InfiniteHorizon([1.0, 0.5], discount=0.9, max_episodes=22)
    with pytest.raises(
        ValueError,
        match=r"max_episodes must leave 22 episodes to settle costs in at discount 0\.9, after the first 2; "
        "got 22",
    ):
        new_learner(game, tiny(game), 0)
    assert new_learner(InfiniteHorizon([1.0, 0.5], discount=0.9, max_episodes=23), tiny(game), 0)


def test_self_play_takes_the_length_of_games_in_expectation():
    game = SHORT["InfiniteHorizon"]
    model = new_learner(game, tiny(game), 0)
    assert model.env.get_attr("problem")[0].game == with_fixed_length(game)


# -- Features ---------------------------------------------------------------------------------------------


@every_game
def test_features_are_finite_moderate_and_as_wide_as_said(name):
    game = SHORT[name]
    kind = FEATURES.get(type(game), ClockFeatures)
    features = kind(observation_space(game))
    made = features(torch.as_tensor(seen(game)))
    assert made.shape == (50, features.features_dim)
    assert torch.isfinite(made).all()
    assert made.abs().max() < 5


@pytest.mark.parametrize(
    ("kind", "width", "features"),
    [
        (ClockFeatures, 4, 7),
        (ClockFeatures, 6, 9),
        (AngleFeatures, 5, 10),
        (PatienceFeatures, 5, 9),
        (HiddenFeatures, 5, 9),
    ],
)
def test_feature_widths(kind, width, features):
    made = kind(Box(-1, 1, (width,), dtype=np.float32))
    assert made.features_dim == features
    assert made(torch.rand(3, width)).shape == (3, features)


def test_features_of_hidden_deployment_ignore_the_goal_and_nothing_else():
    game = SHORT["HiddenDeployment"]
    features, shown = HiddenFeatures(observation_space(game)), torch.as_tensor(seen(game))
    told = features(shown)
    other = shown.clone()
    other[:, 0] = torch.linspace(-3, 3, len(other))
    assert torch.equal(features(other), told)
    assert torch.equal(other[:, 1:], shown[:, 1:])
    other = shown.clone()
    other[:, 4] += 0.5
    assert (features(other) != told).any(dim=1).all()


def test_features_of_misconception_know_the_symmetry_of_goal_and_belief():
    """(θ, b) and (−θ, −b) are the same direction; (θ, −b) is another."""
    features = AngleFeatures(observation_space(SHORT["Misconception"]))
    shown = torch.tensor([[0.6, 1, 1, 1, 0.3], [-0.6, 1, 1, 1, -0.3], [0.6, 1, 1, 1, -0.3]])
    angle = features(shown)[:, -2:]
    torch.testing.assert_close(angle[0], angle[1])
    assert (angle[0] - angle[2]).abs().max() > 0.1
    torch.testing.assert_close((angle**2).sum(dim=1), torch.ones(3))


def test_features_of_patience_tell_discounts_near_one_apart():
    features = PatienceFeatures(observation_space(SHORT["LearnableDiscount"]))
    shown = torch.tensor([[0.6, 1, 1, 1, gamma] for gamma in (0.0, 0.98, 0.99, 1.0)])
    scales = features(shown)[:, -2:]
    assert (scales[1:] - scales[:-1]).abs().max(dim=1).values.min() > 0.1
    assert torch.isfinite(scales).all()


# -- Training ---------------------------------------------------------------------------------------------


@every_game
def test_a_tiny_training_makes_an_agent_of_every_game(name):
    game = SHORT[name]
    settings = tiny(game)
    untrained = new_learner(game, settings, 0).policy.state_dict()
    model = learn(game, settings, seed=0)
    assert model.num_timesteps == settings.turns
    assert isinstance(model, Learner)
    assert any(not torch.equal(value, untrained[key]) for key, value in model.policy.state_dict().items())
    played = mesa_env.rollout(game, model, [0.8, -0.3])
    assert played.coefficients.shape[0] == 2
    known = with_fixed_length(game)
    measured = mesa_env.compare(known, {"learned": model, "oracle": mesa_env.oracle(known)}, [0.8, -0.3])
    gains = measured.groupby("agent")["relative_exploitability"].mean()
    assert gains["learned"] > gains["oracle"] >= 0


# -- Memory -----------------------------------------------------------------------------------------------

MEMORY = tiny(SIGNAL, rollouts=5, games=8, group_size=4, memory=True)


@pytest.fixture(scope="module")
def recurrent():
    return learn(SIGNAL, MEMORY, seed=0)


def test_a_policy_with_memory_trains_and_remembers(recurrent):
    assert isinstance(recurrent, RecurrentLearner)
    assert recurrent.num_timesteps == MEMORY.turns
    observation = seen(SIGNAL, 3)
    first, memory = recurrent.predict(observation, episode_start=np.ones(3, bool), deterministic=True)
    again, _ = recurrent.predict(observation, memory, episode_start=np.zeros(3, bool), deterministic=True)
    anew, _ = recurrent.predict(observation, memory, episode_start=np.ones(3, bool), deterministic=True)
    assert (first != again).any()
    np.testing.assert_array_equal(anew, first)


def test_what_it_remembers_comes_of_signals_and_not_of_the_goal(recurrent):
    """Two games that differ in the goal alone are played with the same coefficients."""
    played = mesa_env.rollout(SIGNAL, recurrent, 0.8), mesa_env.rollout(SIGNAL, recurrent, -0.1)
    np.testing.assert_array_equal(played[0].details["signal"], played[1].details["signal"])
    np.testing.assert_array_equal(played[0].coefficients, played[1].coefficients)


def test_a_model_with_memory_survives_the_disk(recurrent, tmp_path):
    checkpoints.save(recurrent, tmp_path / "model.zip")
    loaded = agents.load(tmp_path / "model.zip")
    assert isinstance(loaded, RecurrentLearner)
    assert loaded.learning_curve == recurrent.learning_curve
    played = [mesa_env.rollout(SIGNAL, agent, [0.8, -0.3]) for agent in (recurrent, loaded)]
    for mine, theirs in zip(played[0][:5], played[1][:5], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="must be a checkpoint; it is a finished model"):
        checkpoints.load_checkpoint(tmp_path / "model.zip")


class Interruption(BaseCallback):
    """Stops the training as Ctrl-C would, in the middle of a rollout."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns

    def _on_step(self):
        if self.num_timesteps >= self.turns:
            raise KeyboardInterrupt
        return True


TWINNED = SHORT["Misconception"], tiny(SHORT["Misconception"], rollouts=5, games=8, group_size=4)


@pytest.mark.parametrize(("game", "settings"), [TWINNED, (SIGNAL, MEMORY)], ids=["group_size", "memory"])
@pytest.mark.parametrize("every", [1, 2])
def test_an_interrupted_training_ends_bit_for_bit_where_an_uninterrupted_one_does(
    game, settings, every, tmp_path
):
    path, rollout = tmp_path / "checkpoint.zip", settings.games * game.episodes

    def measured(*more):
        return [*callbacks(game, settings), LearningCurve(game, 2), *more]

    expected = new_learner(game, settings, 1).learn(settings.turns, callback=measured())
    checkpoint = checkpoints.Checkpoint(path, every)
    with pytest.raises(KeyboardInterrupt):
        new_learner(game, settings, 1).learn(
            settings.turns,
            callback=measured(checkpoint, Interruption(3 * rollout + rollout // 2)),
        )
    torch.manual_seed(99), random.seed(99), np.random.seed(99)  # noqa: NPY002 - must not matter
    model = checkpoints.load_checkpoint(path)
    assert type(model) is type(expected)
    assert model.num_timesteps == (3 if every == 1 else 2) * rollout
    model.learn(
        settings.turns - model.num_timesteps,
        callback=measured(checkpoints.Checkpoint(path, every)),
        reset_num_timesteps=False,
    )
    assert model.num_timesteps == expected.num_timesteps
    for name, value in expected.policy.state_dict().items():
        assert torch.equal(model.policy.state_dict()[name], value), name
    assert [point["turns"] for point in model.learning_curve] == [2 * rollout, 4 * rollout]
    for point, other in zip(model.learning_curve, expected.learning_curve, strict=True):
        assert point == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_a_stable_baselines3_environment_is_seeded_alike_with_and_without_twins():
    """One twin a group is Stable-Baselines3's own seeding: row i takes seed s + i."""
    game = SHORT["Misconception"]
    env = BatchedVecEnv(make_games(game, PPOSettings(games=8)))
    env.seed(3)
    single = gymnasium.make("mesa_env/Misconception-v0", game=game)
    shown = env.reset()
    for row in range(8):
        np.testing.assert_array_equal(shown[row], single.reset(seed=3 + row)[0])


def test_self_play_of_a_game_without_end_is_the_module_s_own_length():
    assert self_play.new_learner(SHORT["InfiniteHorizon"], tiny(SHORT["InfiniteHorizon"]), 0).n_steps == 8
