"""The wrappers that Gymnasium and PettingZoo ship, on every registered environment."""

from __future__ import annotations

import logging

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces, wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector
from pettingzoo.utils import wrappers as aec_wrappers

from tests.clients.environments import (
    BEST_RESPONSE,
    every_aec_environment,
    every_environment,
    make_batch,
    play,
    play_agents,
)
from tests.conftest import same

# -- One environment ----------------------------------------------------------------------------------

SINGLE = {
    "RescaleAction": lambda env: wrappers.RescaleAction(env, np.float32(-1), np.float32(1)),
    "ClipAction": wrappers.ClipAction,
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 100),
    "Autoreset": wrappers.Autoreset,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: 0.01 * reward),
    "FlattenObservation": wrappers.FlattenObservation,
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, np.float32(0), np.float32(1)),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 100)),
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 3),
}
OF_BOXES = ("RescaleAction", "ClipAction")


def skip_wrappers_of_boxes(name, space):
    """Actions that are choices cannot be scaled or clipped."""
    if name in OF_BOXES and not isinstance(space, spaces.Box):
        pytest.skip("it is for actions in a box")


@every_environment
@pytest.mark.parametrize("name", SINGLE)
def test_a_wrapped_environment_plays_the_same_game(id, arguments, name):
    """Infos tell what was played; the wrapper may add to them, and translates actions."""
    plain = gymnasium.make(id, **arguments)
    skip_wrappers_of_boxes(name, plain.action_space)
    wrapped = SINGLE[name](gymnasium.make(id, **arguments))
    wrapped.action_space.seed(5)
    plain.reset(seed=3)
    observation, _ = wrapped.reset(seed=3)
    over = False
    while not over:
        assert wrapped.observation_space.contains(observation)
        action = wrapped.action_space.sample()
        inner = wrapped.action(action) if isinstance(wrapped, gymnasium.ActionWrapper) else action
        observation, reward, *ends, info = wrapped.step(action)
        _, _, *expected_ends, expected = plain.step(inner)
        assert np.isfinite(reward)
        assert ends == expected_ends
        assert same({key: info[key] for key in expected}, expected)
        over = any(ends)


@every_environment
def test_recorded_statistics_are_the_rewards_added_up(id, arguments):
    plain = gymnasium.make(id, **arguments)
    steps = play(wrappers.RecordEpisodeStatistics(gymnasium.make(id, **arguments)))
    expected, total, length, ended = play(plain), 0.0, 0, 0
    for recorded, step in zip(steps, expected, strict=True):
        if len(step) == 2:
            total, length = 0.0, 0
            continue
        total, length = total + step[1], length + 1
        if step[2] or step[3]:
            ended += 1
            assert recorded[4]["episode"]["r"] == pytest.approx(total)
            assert recorded[4]["episode"]["l"] == length
    assert ended > 0


@every_environment
def test_normalized_values_are_the_values_normalized(id, arguments):
    observed = wrappers.NormalizeObservation(gymnasium.make(id, **arguments))
    paid = wrappers.NormalizeReward(gymnasium.make(id, **arguments), gamma=1.0)
    plain = gymnasium.make(id, **arguments)
    for env in (observed, paid, plain):
        env.reset(seed=3)
    plain.action_space.seed(3)
    action = plain.action_space.sample()
    seen, reward, *_ = plain.step(action)
    rms = observed.obs_rms
    np.testing.assert_allclose(
        observed.step(action)[0] * np.sqrt(rms.var + 1e-8) + rms.mean, seen, rtol=1e-5, atol=1e-5
    )
    assert paid.step(action)[1] * np.sqrt(paid.return_rms.var + 1e-8) == pytest.approx(reward)


@every_environment
def test_a_time_limit_cuts_a_game_short(id, arguments):
    env = wrappers.TimeLimit(gymnasium.make(id, **arguments), 1)
    env.reset(seed=3)
    _, _, terminated, truncated, _ = env.step(env.action_space.sample())
    assert truncated
    assert terminated == id.endswith("BestResponse-v0")  # which is over after one decision anyway


# -- Batches ------------------------------------------------------------------------------------------

BATCHED = {
    "RecordEpisodeStatistics": vector.RecordEpisodeStatistics,
    "NormalizeObservation": vector.NormalizeObservation,
    "NormalizeReward": vector.NormalizeReward,
    "FlattenObservation": vector.FlattenObservation,
    "RescaleAction": lambda env: vector.RescaleAction(env, np.float32(-1), np.float32(1)),
    "ClipAction": vector.ClipAction,
    "TransformReward": lambda env: vector.TransformReward(env, lambda reward: 0.01 * reward),
    "DictInfoToList": vector.DictInfoToList,
    "DictInfoToList of statistics": lambda env: vector.DictInfoToList(vector.RecordEpisodeStatistics(env)),
}
OF_OBSERVATIONS = ("NormalizeObservation", "FlattenObservation")
WRAPPED = [(name, AutoresetMode.NEXT_STEP) for name in BATCHED]
WRAPPED += [(name, AutoresetMode.SAME_STEP) for name in BATCHED if name not in OF_OBSERVATIONS]


def without_time(part):
    """What a batch returned, without the seconds that `RecordEpisodeStatistics` measures."""
    if isinstance(part, dict):
        return {key: without_time(value) for key, value in part.items() if key not in ("t", "_t")}
    return type(part)(map(without_time, part)) if isinstance(part, list | tuple) else part


@every_environment
@pytest.mark.parametrize(("name", "mode"), WRAPPED, ids=lambda value: getattr(value, "value", value))
def test_wrappers_do_what_they_do_to_gymnasiums_own_batches(id, arguments, name, mode):
    batch = make_batch(id, mode, **arguments)
    if name in OF_BOXES and not isinstance(batch.single_action_space, spaces.Box):
        pytest.skip("it is for actions in a box")
    sync = gymnasium.make_vec(
        id, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **arguments
    )
    assert isinstance(sync.unwrapped, SyncVectorEnv)
    assert batch.autoreset_mode is sync.autoreset_mode
    ours, theirs = (without_time(play(BATCHED[name](env))) for env in (batch, sync))
    assert same(ours, theirs)


@pytest.mark.parametrize("name", OF_OBSERVATIONS)
def test_wrappers_of_observations_take_best_responses_in_next_step_mode_only(name):
    """As docs/installing.md says."""
    assert gymnasium.make_vec(BEST_RESPONSE, num_envs=2).autoreset_mode is AutoresetMode.SAME_STEP
    with pytest.raises((ValueError, AssertionError)):  # Gymnasium asserts it up to 1.2
        BATCHED[name](gymnasium.make_vec(BEST_RESPONSE, num_envs=2))
    BATCHED[name](gymnasium.make_vec(BEST_RESPONSE, num_envs=2, autoreset_mode="NextStep")).reset(seed=0)


@every_environment
@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.value)
def test_a_batch_shows_its_autoreset_mode_as_gymnasiums_own_do(id, arguments, mode):
    batch = make_batch(id, mode, **arguments)
    assert batch.autoreset_mode is batch.metadata["autoreset_mode"] is mode


@every_environment
def test_registered_classes_name_gymnasiums_among_their_bases(id, arguments):
    """Some libraries look at direct bases only."""
    assert gymnasium.Env in type(gymnasium.make(id, **arguments).unwrapped).__bases__
    assert gymnasium.vector.VectorEnv in type(gymnasium.make_vec(id, num_envs=2, **arguments)).__bases__


# -- PettingZoo ---------------------------------------------------------------------------------------


@every_aec_environment
@pytest.mark.parametrize(
    "wrap",
    [
        aec_wrappers.OrderEnforcingWrapper,
        aec_wrappers.ClipOutOfBoundsWrapper,
        aec_wrappers.AssertOutOfBoundsWrapper,
    ],
)
def test_a_wrapped_game_of_agents_is_the_same_game(id, arguments, wrap):
    plain = pettingzoo.make("aec", id, **arguments)
    if wrap is aec_wrappers.ClipOutOfBoundsWrapper and isinstance(
        plain.action_space("episode_0"), spaces.Discrete
    ):
        pytest.skip("actions are choices")
    wrapped = wrap(plain)
    assert same(play_agents(wrapped), play_agents(pettingzoo.make("aec", id, **arguments)))


@every_aec_environment
def test_actions_out_of_bounds_are_clipped_or_stopped(id, arguments, caplog):
    if isinstance(pettingzoo.make("aec", id, **arguments).action_space("episode_0"), spaces.Discrete):
        pytest.skip("actions are choices")
    clipped = aec_wrappers.ClipOutOfBoundsWrapper(pettingzoo.make("aec", id, **arguments))
    asserted = aec_wrappers.AssertOutOfBoundsWrapper(pettingzoo.make("aec", id, **arguments))
    plain = pettingzoo.make("aec", id, **arguments)
    for env in (clipped, asserted, plain):
        env.reset(seed=3)
    space = plain.action_space("episode_0")
    with caplog.at_level(logging.WARNING, logger="pettingzoo.utils.env_logger"):
        clipped.step(space.high * 9)
    plain.step(space.high)
    assert "outside action space" in caplog.text
    assert clipped.infos == plain.infos
    with pytest.raises(AssertionError, match="not in action space"):
        asserted.step(space.high * 9)
    assert asserted.infos["episode_0"] == {}
    asserted.step(space.high)
    assert asserted.infos == plain.infos


@every_aec_environment
def test_many_games_follow_each_other(id, arguments):
    env = aec_wrappers.MultiEpisodeEnv(pettingzoo.make("aec", id, **arguments), num_episodes=2)
    env.reset(seed=3)
    goals = []
    for agent in env.agent_iter():
        observation, _, termination, truncation, _ = env.last()
        over = termination or truncation
        if agent == "episode_0" and not over:
            goals.append(observation[0])
        env.step(None if over else env.action_space(agent).sample())
    expected = []
    for seed in (3, 4):
        plain = pettingzoo.make("aec", id, **arguments)
        plain.reset(seed=seed)
        expected.append(plain.observe("episode_0")[0])
    assert goals == expected
