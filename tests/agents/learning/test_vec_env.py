"""The adapter is to Stable-Baselines3 what its own DummyVecEnv is."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.learning.vec_env import BatchedVecEnv
from mesa_env import Game, train_then_deploy

ROWS = 3
GAMES = {
    "fixed goal": Game(learning_rates=train_then_deploy(2, 2)),
    "drawn goals": Game(learning_rates=[1.0, 0.3, 0.0], discount=0.9, initial_goal=(-1, 1)),
    "one episode": Game(learning_rates=[1.0], initial_goal=(-1, 1)),
}
PROBLEMS = [
    ("mesa_env/DeceptiveAlignment-v0", {"judge": "initial"}),
    ("mesa_env/DeceptiveAlignment-v0", {"judge": "current"}),
    ("mesa_env/BestResponse-v0", {}),
]
every_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
every_problem = pytest.mark.parametrize(("name", "options"), PROBLEMS)


def batched(name, game, **options):
    return BatchedVecEnv(gym.make_vec(name, num_envs=ROWS, game=game, autoreset_mode="SameStep", **options))


def one_by_one(name, game, **options):
    return DummyVecEnv([lambda: gym.make(name, game=game, **options)] * ROWS)


def assert_same_step(ours, theirs):
    for mine, reference in zip(ours[:3], theirs[:3], strict=True):
        np.testing.assert_array_equal(mine, reference)
        assert mine.dtype == reference.dtype
    for row, done in enumerate(theirs[2]):
        assert ("terminal_observation" in ours[3][row]) == done
        if done:
            np.testing.assert_array_equal(
                ours[3][row]["terminal_observation"], theirs[3][row]["terminal_observation"]
            )
            assert ours[3][row]["TimeLimit.truncated"] == theirs[3][row]["TimeLimit.truncated"]


@every_game
@every_problem
def test_plays_what_stable_baselines_own_adapter_plays(game, name, options):
    ours, theirs = batched(name, game, **options), one_by_one(name, game, **options)
    assert isinstance(ours, VecEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.num_envs == theirs.num_envs
    assert ours.seed(5) == theirs.seed(5)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    generator = np.random.default_rng(0)
    for _ in range(3 * game.episodes + 1):  # across several resets
        actions = generator.uniform(-2, 2, (ROWS, 1)).astype(np.float32)
        assert_same_step(ours.step(actions), theirs.step(actions))
    # A reset without a new seed goes on drawing; a new seed is used once.
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ours.seed(5), theirs.seed(5)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ours.close(), theirs.close()


def test_seeds_give_every_row_its_own_games():
    env = batched(*PROBLEMS[0][:1], GAMES["drawn goals"])
    env.seed(1)
    first, second = env.reset(), env.reset()
    env.seed(1)
    np.testing.assert_array_equal(env.reset(), first)
    np.testing.assert_array_equal(env.reset(), second)
    assert len(set(first[:, 0])) == ROWS
    assert (first[:, 0] != second[:, 0]).all()
    env.seed(2)
    np.testing.assert_array_equal(env.reset()[:-1, 0], first[1:, 0])  # row i is seeded with s + i


def test_options_reach_the_environments_as_with_stable_baselines_own_adapter():
    ours = batched(PROBLEMS[0][0], GAMES["drawn goals"])
    theirs = one_by_one(PROBLEMS[0][0], GAMES["drawn goals"])
    for env in (ours, theirs):
        env.seed(0)
        env.set_options({"initial_goal": 0.25})
    np.testing.assert_array_equal(theirs.reset()[:, 0], np.full(ROWS, 0.25, dtype=np.float32))
    np.testing.assert_array_equal(ours.reset()[:, 0], np.full(ROWS, 0.25, dtype=np.float32))


@every_game
def test_arrays_hold_the_infos_of_all_rows_at_every_step(game):
    name = PROBLEMS[0][0]
    ours, theirs = batched(name, game), one_by_one(name, game)
    ours.seed(3), theirs.seed(3)
    ours.reset(), theirs.reset()
    generator = np.random.default_rng(0)
    for _ in range(2 * game.episodes + 1):
        actions = generator.uniform(-2, 2, (ROWS, 1)).astype(np.float32)
        ours.step(actions)
        infos = theirs.step(actions)[3]
        for key in ("goal", "output", "base_loss", "next_goal", "training"):
            np.testing.assert_array_equal(ours.arrays[key], [info[key] for info in infos])


def test_what_a_step_returned_is_not_written_over_by_the_next():
    env = batched(PROBLEMS[0][0], GAMES["drawn goals"])
    env.seed(0)
    kept, copies = [env.reset()], []
    copies.append(kept[0].copy())
    for _ in range(7):
        observation, rewards, dones, _ = env.step(np.full((ROWS, 1), 0.5, dtype=np.float32))
        kept += [observation, rewards, dones, env.arrays["goal"]]
        copies += [array.copy() for array in kept[-4:]]
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_refuses_environments_that_do_not_reset_in_the_same_step(mode):
    with pytest.raises(ValueError, match=f"must reset in the same step; its mode is .*{mode.name}"):
        BatchedVecEnv(gym.make_vec(PROBLEMS[0][0], num_envs=2, autoreset_mode=mode))


def test_attributes_and_methods_are_those_of_the_vector_environment():
    env = batched(PROBLEMS[0][0], GAMES["fixed goal"])
    assert env.get_attr("num_envs") == [ROWS] * ROWS
    assert env.get_attr("num_envs", indices=[0, 2]) == [ROWS] * 2
    assert env.get_attr("num_envs", indices=1) == [ROWS]
    env.set_attr("label", "ours")
    assert env.get_attr("label", indices=0) == ["ours"]
    [(observation, _)] = env.env_method("reset", indices=0, options={"initial_goal": 0.3})
    np.testing.assert_allclose(observation[:, 0], 0.3, rtol=1e-6)
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * ROWS
    with pytest.raises(AttributeError):
        env.get_attr("no_such_attribute")
