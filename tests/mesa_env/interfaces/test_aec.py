"""PettingZoo's interface to the game."""

from __future__ import annotations

import copy
import logging
import pickle
import warnings

import numpy as np
import pettingzoo
import pytest
from gymnasium.error import Error, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.utils import wrappers

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.rules.scalar import ScalarGame

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test, seed_test
    from pettingzoo.test.state_test import test_state as pettingzoo_state_test
    from pettingzoo.test.state_test import test_state_space as pettingzoo_state_space_test

ID = "mesa_env/DeceptiveAlignment-v0"
SHORT = Game(train_then_deploy(3, 4))
DRAWN = Game(train_then_deploy(3, 4), initial_goal=(-1, 1))
BUILDERS = {
    "registered": lambda game: pettingzoo.make("aec", ID, game=game),
    "env": mesa_env.env,
    "raw_env": mesa_env.raw_env,
}


@pytest.fixture(params=list(BUILDERS))
def build(request):
    """Every way to build the environment of a game."""
    return BUILDERS[request.param]


def plan(game, seed=7):
    bound = game.coefficient_bound
    actions = np.random.default_rng(seed).uniform(-bound, bound, (game.episodes, 1))
    return list(actions.astype(np.float32))


def snapshot(env):
    """All that a user can see of the environment now."""
    return copy.deepcopy(
        {
            "agents": env.agents,
            "selection": env.agent_selection if env.agents else None,
            "rewards": env.rewards,
            "cumulative": env._cumulative_rewards,
            "terminations": env.terminations,
            "truncations": env.truncations,
            "infos": env.infos,
            "observations": [env.observe(agent) for agent in env.possible_agents],
            "state": env.state(),
        }
    )


def play_on(env, actions, steps=None):
    """Play `actions` and retire everybody, at most `steps` steps; the snapshots after every step."""
    actions, seen = iter(actions), []
    while env.agents and (steps is None or len(seen) < steps):
        env.step(None if env.terminations[env.agent_selection] else next(actions))
        seen.append(snapshot(env))
    return seen


# -- PettingZoo's own tests ---------------------------------------------------------------------------


def test_pettingzoo_api_test(build, game):
    api_test(build(game), num_cycles=10)


def test_pettingzoo_seed_test(build, game):
    seed_test(lambda: build(game))


def test_pettingzoo_state_test(build, game):
    env = build(game)
    pettingzoo_state_space_test(env)
    pettingzoo_state_test(env, num_cycles=10)


# -- The course of a game -----------------------------------------------------------------------------


def test_agents_act_once_in_order_and_end_together(build, game):
    env = build(game)
    env.reset(seed=0)
    names = [f"episode_{n}" for n in range(game.episodes)]
    assert env.agents == env.possible_agents == names
    for n, action in enumerate(plan(game)):
        assert env.agent_selection == names[n]
        assert env.agents == names
        assert not any(env.terminations.values())
        env.step(action)
    assert env.terminations == dict.fromkeys(names, True)
    assert env.truncations == dict.fromkeys(names, False)
    for n in range(game.episodes):
        assert env.agent_selection == names[n]
        assert env.agents == names[n:]
        env.step(None)
    assert env.agents == []


def test_same_seed_same_game_to_the_last_retirement(build, game):
    transcripts = []
    for _ in range(2):
        env = build(game)
        env.reset(seed=11)
        transcripts.append([snapshot(env), *play_on(env, plan(game))])
    assert len(transcripts[0]) == 2 * game.episodes + 1
    assert data_equivalence(transcripts[0], transcripts[1], exact=True)


def test_rewards_of_every_step_sum_to_minus_the_mesa_cost(by_hand, build, game):
    env = build(game)
    env.reset(seed=3)
    totals = dict.fromkeys(env.agents, 0.0)
    goals = []
    for action in plan(game):
        acting = env.agent_selection
        env.step(action)
        goals.append(env.infos[acting]["goal"])
        for agent, reward in env.rewards.items():
            totals[agent] += reward
    while env.agents:
        env.step(None)
        for agent, reward in env.rewards.items():
            totals[agent] += reward
    expected = by_hand(game, np.ravel(plan(game)), goals[0]).mesa_costs
    np.testing.assert_allclose(list(totals.values()), np.negative(expected), rtol=1e-9, atol=1e-12)


def test_rewards_of_the_agent_loop_sum_to_minus_the_mesa_cost(by_hand, build, game):
    env, actions = build(game), iter(plan(game))
    env.reset(seed=3)
    totals, first = dict.fromkeys(env.agents, 0.0), None
    for agent in env.agent_iter():
        _, reward, termination, truncation, info = env.last()
        totals[agent] += reward
        if termination and first is None:
            first = info["goal"]
        env.step(None if termination or truncation else next(actions))
    expected = by_hand(game, np.ravel(plan(game)), first).mesa_costs
    np.testing.assert_allclose(list(totals.values()), np.negative(expected), rtol=1e-9, atol=1e-12)


def test_every_step_pays_all_agents_so_far_by_their_own_goals(game):
    """When agent n acts, agent k ≤ n receives −γ^(n−k) (y_n − θ_k)², and later agents nothing."""
    env = mesa_env.env(game)
    env.reset(seed=5)
    goals = []
    for n, action in enumerate(plan(game)):
        acting = env.agent_selection
        env.step(action)
        goals.append(env.infos[acting]["goal"])
        output = env.infos[acting]["output"]
        expected = [-(game.discount ** (n - k)) * (output - goals[k]) ** 2 for k in range(n + 1)]
        expected += [0.0] * (game.episodes - n - 1)
        np.testing.assert_allclose(list(env.rewards.values()), expected, rtol=1e-12, atol=1e-15)
        assert all(type(reward) is float for reward in env.rewards.values())


def test_the_dead_are_paid_nothing(game):
    env = mesa_env.env(game)
    env.reset(seed=0)
    totals = play_on(env, plan(game), game.episodes)[-1]["cumulative"]
    assert any(totals.values())
    while env.agents:
        env.step(None)
        assert env.rewards == dict.fromkeys(env.agents, 0.0)
        for record in (env.rewards, env._cumulative_rewards, env.terminations, env.truncations, env.infos):
            assert list(record) == env.agents
        assert env._cumulative_rewards == {agent: totals[agent] for agent in env.agents}


def test_infos_hold_what_the_episode_produced(by_hand, game):
    env = mesa_env.env(game)
    env.reset(seed=2)
    assert env.infos == {agent: {} for agent in env.agents}
    actions = plan(game)
    after = play_on(env, actions, game.episodes)
    for n, seen in enumerate(after):
        assert [agent for agent, info in seen["infos"].items() if info] == env.possible_agents[: n + 1]
    infos = list(after[-1]["infos"].values())
    expected = by_hand(game, np.ravel(actions), infos[0]["goal"])
    for name, values in {
        "output": expected.outputs,
        "base_loss": expected.base_losses,
        "goal": expected.goals[:-1],
        "next_goal": expected.goals[1:],
    }.items():
        np.testing.assert_allclose([info[name] for info in infos], values, rtol=1e-9, atol=1e-12)
    assert [info["training"] for info in infos] == list(game.learning_rates > 0)
    assert {type(value) for info in infos for value in info.values()} == {float, bool}


def test_an_agent_sees_the_present_until_it_acts_and_then_what_it_saw(game):
    env = mesa_env.env(game)
    env.reset(seed=4)
    seen = []
    for n, action in enumerate(plan(game)):
        present, *_ = env.last()
        seen.append(present)
        for k, agent in enumerate(env.possible_agents):
            np.testing.assert_array_equal(env.observe(agent), seen[min(k, n)])
        np.testing.assert_allclose(present[1], game.learning_rates[n])
        np.testing.assert_allclose(present[2], 1 - n / game.episodes, rtol=1e-6)
        env.step(action)
        np.testing.assert_array_equal(present[0], np.float32(env.infos[env.possible_agents[n]]["goal"]))
    for k, agent in enumerate(env.possible_agents):
        np.testing.assert_array_equal(env.observe(agent), seen[k])
        assert env.observation_space(agent).contains(env.observe(agent))


def test_an_observation_may_be_overwritten_without_harm():
    env = mesa_env.env(SHORT)
    env.reset(seed=0)
    before = snapshot(env)
    env.observe("episode_0")[:] = 9
    env.state()[:] = 9
    assert data_equivalence(before, snapshot(env), exact=True)


def test_state_is_the_present_observation_and_all_goals_so_far(by_hand, game):
    env = mesa_env.env(game)
    env.reset(seed=6)
    assert env.state_space.shape == (4 + game.episodes,)
    goals = [env.state()[0]]
    for n, action in enumerate(plan(game)):
        state = env.state()
        assert env.state_space.contains(state)
        np.testing.assert_array_equal(state[:4], env.last()[0])
        np.testing.assert_array_equal(state[4:], goals + [0] * (game.episodes - n - 1))
        env.step(action)
        goals.append(np.float32(env.infos[f"episode_{n}"]["next_goal"]))
    final = env.state()
    assert env.state_space.contains(final)
    np.testing.assert_array_equal(final[:4], [goals[-1], 0, 0, 0])
    np.testing.assert_array_equal(final[4:], goals[:-1])


def test_a_single_episode_is_a_whole_game():
    env = mesa_env.env(Game([1.0], initial_goal=0.5))
    env.reset()
    env.step(np.array([0.2], dtype=np.float32))
    assert env.terminations == {"episode_0": True}
    assert env.rewards["episode_0"] == pytest.approx(-((0.1 - 0.5) ** 2), rel=1e-6)
    env.step(None)
    assert env.agents == []


# -- Starting -----------------------------------------------------------------------------------------


def initial_goal(env, **options):
    env.reset(**options)
    return float(env.observe("episode_0")[0])


def test_a_fixed_goal_begins_every_game(build):
    env = build(SHORT)
    assert {initial_goal(env, seed=seed) for seed in (0, 1, None)} == {float(np.float32(0.8))}


def test_drawn_goals_are_reproducible_and_within_the_pair(build):
    env, other = build(DRAWN), build(DRAWN)
    goals = [initial_goal(env, seed=5)] + [initial_goal(env) for _ in range(200)]
    assert goals == [initial_goal(other, seed=5)] + [initial_goal(other) for _ in range(200)]
    assert len(set(goals)) == 201
    assert -1 <= min(goals) < -0.9
    assert 0.9 < max(goals) <= 1
    assert abs(np.mean(goals)) < 4 / np.sqrt(3 * 201)
    assert initial_goal(env, seed=5) == goals[0]
    assert initial_goal(env, seed=6) != goals[0]


@pytest.mark.parametrize("asked", [0.25, -10, 0, np.float32(0.5), np.array(0.125)])
@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_reset_begins_with_the_goal_that_is_asked_for(game, asked):
    env = mesa_env.env(game)
    assert initial_goal(env, seed=1, options={"initial_goal": asked}) == float(asked)
    assert initial_goal(env, seed=1, options={"initial_goal": None}) == initial_goal(env, seed=1)


def test_a_given_goal_uses_up_the_draw_that_it_replaces():
    env, other = mesa_env.env(DRAWN), mesa_env.env(DRAWN)
    initial_goal(env, seed=1)
    initial_goal(other, seed=1, options={"initial_goal": 0.5})
    assert initial_goal(env) == initial_goal(other)


BAD_GOALS = [10.5, np.nan, -np.inf, "0.5", True, [0.1, 0.2], [[0.1]], 1j]


@pytest.mark.parametrize("asked", BAD_GOALS, ids=repr)
def test_a_refused_reset_leaves_the_game_as_it_was(asked):
    env = mesa_env.env(SHORT)
    env.reset(seed=0)
    actions = plan(SHORT)
    env.step(actions[0])
    before = snapshot(env)
    with pytest.raises(ValueError, match="initial_goal must be") as refusal:
        env.reset(options={"initial_goal": asked})
    assert str(asked) in str(refusal.value)
    assert data_equivalence(before, snapshot(env), exact=True)


@pytest.mark.parametrize("seed", [-1, 0.5, "zero"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(Error, match="Seed must be"):
        mesa_env.env(SHORT).reset(seed=seed)


# -- The door -----------------------------------------------------------------------------------------

BAD_ACTIONS = [
    (np.zeros(2, dtype=np.float32), r"shape \(1,\); got shape \(2,\)"),
    (np.zeros((1, 1)), r"shape \(1,\); got shape \(1, 1\)"),
    (0.5, r"shape \(1,\); got shape \(\)"),
    (None, r"finite numbers in \[-2, 2\]; got None"),
    (np.array([np.nan]), r"in \[-2, 2\]; got \[nan\]"),
    (np.array([np.inf]), r"in \[-2, 2\]; got \[inf\]"),
    (np.array([2.5]), r"in \[-2, 2\]; got \[2.5\]"),
    (np.array([-7]), r"in \[-2, 2\]; got \[-7\]"),
    (np.array([True]), r"in \[-2, 2\]; got \[ True\]"),
    (["1"], r"in \[-2, 2\]; got \['1'\]"),
]


@pytest.mark.parametrize(("action", "message"), BAD_ACTIONS, ids=lambda value: repr(value)[:24])
@pytest.mark.parametrize("played", [0, 3, 6])
def test_a_bad_action_leaves_the_state_unchanged(build, action, message, played):
    env, undisturbed, actions = build(SHORT), build(SHORT), plan(SHORT)
    for each in (env, undisturbed):
        each.reset(seed=0)
        play_on(each, actions, played)
    before = snapshot(env)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert data_equivalence(before, snapshot(env), exact=True)
    rest = [play_on(each, actions[played:]) for each in (env, undisturbed)]
    assert data_equivalence(rest[0], rest[1], exact=True)


@pytest.mark.parametrize("retired", [0, 2])
def test_the_dead_may_only_do_nothing(build, retired):
    env = build(SHORT)
    env.reset(seed=0)
    play_on(env, plan(SHORT), SHORT.episodes + retired)
    before = snapshot(env)
    with pytest.raises(ValueError, match=rf"episode_{retired}'s game is over.*None; got array\(\[0.5\]\)"):
        env.step(np.array([0.5]))
    assert data_equivalence(before, snapshot(env), exact=True)


@pytest.mark.parametrize("name", ["episode_7", "episode_-1", "player_0", 0, None, ["episode_0"]], ids=repr)
@pytest.mark.parametrize("method", ["observe", "observation_space", "action_space"])
def test_unknown_agents_raise_with_the_names(build, method, name):
    env = build(SHORT)
    env.reset()
    with pytest.raises(ValueError, match="'episode_0' … 'episode_6'") as refusal:
        getattr(env, method)(name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("game", ["post", [1, 0], np.ones(3), ScalarGame], ids=lambda value: repr(value)[:12])
def test_what_is_not_a_game_is_refused(build, game):
    with pytest.raises(TypeError, match=r"game must be a mesa_env\.Game or its parameters; got"):
        build(game)


def test_the_raw_environment_must_be_reset():
    env = mesa_env.raw_env(SHORT)
    for method in (lambda: env.step(np.zeros(1)), lambda: env.observe("episode_0"), env.state):
        with pytest.raises(ResetNeeded, match=r"reset\(\)"):
            method()
    env.reset()
    play_on(env, plan(SHORT))
    with pytest.raises(ResetNeeded, match="again after every end"):
        env.step(np.zeros(1))
    env.reset()
    assert len(env.agents) == SHORT.episodes


def test_order_is_enforced_by_pettingzoos_wrapper(caplog):
    env = mesa_env.env(SHORT)
    assert isinstance(env, wrappers.OrderEnforcingWrapper)
    for method in (lambda: env.step(np.zeros(1)), lambda: env.observe("episode_0"), env.state, env.render):
        with pytest.raises(AssertionError, match="reset"):
            method()
    with pytest.raises(AttributeError, match="reset"):
        _ = env.rewards
    env.reset()
    play_on(env, plan(SHORT))
    with caplog.at_level(logging.WARNING, logger="pettingzoo.utils.env_logger"):
        env.step(None)
    assert "reset" in caplog.text


# -- Spaces -------------------------------------------------------------------------------------------


def test_spaces_are_those_of_the_game(build, game):
    env = build(game)
    for agent in env.possible_agents:
        assert env.action_space(agent) is env.action_space(agent)
        assert env.observation_space(agent) is env.observation_space(agent)
        np.testing.assert_array_equal(env.action_space(agent).high, [game.coefficient_bound])
        np.testing.assert_array_equal(env.action_space(agent).low, [-game.coefficient_bound])
        np.testing.assert_array_equal(
            env.observation_space(agent).high, [game.goal_bound, max(1, *game.learning_rates, 0), 1, 1]
        )
        np.testing.assert_array_equal(env.observation_space(agent).low, [-game.goal_bound, 0, 0, 0])


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.7])
def test_every_sample_of_an_action_space_may_be_played(bound):
    env = mesa_env.env(Game(np.ones(1), coefficient_bound=bound))
    space = env.action_space("episode_0")
    for action in (space.low, space.high, space.sample()):
        env.reset()
        env.step(action)
        assert env.terminations["episode_0"]


# -- Copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("played", [0, 2, 7, 9])
def test_a_copy_made_in_mid_game_goes_on_alike_and_alone(build, copied, played):
    env, actions = build(DRAWN), plan(DRAWN)
    env.reset(seed=8)
    play_on(env, actions, played)
    before = snapshot(env)
    twin = copied(env)
    ours = play_on(twin, actions[played:])
    assert data_equivalence(before, snapshot(env), exact=True)
    assert data_equivalence(ours, play_on(env, actions[played:]), exact=True)
    assert initial_goal(twin) == initial_goal(env)


def test_an_environment_that_was_never_reset_can_be_copied(build):
    env = build(DRAWN)
    group_size = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    assert len({initial_goal(each, seed=3) for each in (env, *group_size)}) == 1


# -- PettingZoo's wrappers ----------------------------------------------------------------------------


def test_clipped_actions_play_like_the_bound(caplog):
    clipped, plain = wrappers.ClipOutOfBoundsWrapper(mesa_env.env(SHORT)), mesa_env.env(SHORT)
    for env in (clipped, plain):
        env.reset(seed=0)
    with caplog.at_level(logging.WARNING, logger="pettingzoo.utils.env_logger"):
        ours = play_on(clipped, [np.array([a], dtype=np.float32) for a in (5, -3, 0.5, 2, -9, 1, 1)])
    theirs = play_on(plain, [np.array([a], dtype=np.float32) for a in (2, -2, 0.5, 2, -2, 1, 1)])
    assert data_equivalence(ours, theirs, exact=True)
    assert caplog.text.count("outside action space") == 3


def test_asserted_actions_play_alike_and_bad_ones_are_stopped():
    checked, plain = wrappers.AssertOutOfBoundsWrapper(mesa_env.env(SHORT)), mesa_env.env(SHORT)
    for env in (checked, plain):
        env.reset(seed=0)
    with pytest.raises(AssertionError, match="not in action space"):
        checked.step(np.array([5], dtype=np.float32))
    assert data_equivalence(play_on(checked, plan(SHORT)), play_on(plain, plan(SHORT)), exact=True)


def test_many_episodes_are_games_of_successive_seeds():
    env = wrappers.MultiEpisodeEnv(mesa_env.env(DRAWN), num_episodes=3)
    env.reset(seed=20)
    goals, steps, totals, actions = [], 0, [], iter(plan(DRAWN) * 3)
    for agent in env.agent_iter():
        observation, reward, termination, truncation, _ = env.last()
        over = termination or truncation
        if agent == "episode_0":
            if over:
                totals.append(reward)
            else:
                goals.append(float(observation[0]))
        env.step(None if over else next(actions))
        steps += 1
    assert steps == 3 * 2 * DRAWN.episodes
    assert goals == [initial_goal(mesa_env.env(DRAWN), seed=20 + game) for game in range(3)]
    for goal, total in zip(goals, totals, strict=True):  # J_0 is homogeneous of degree 2
        assert total / goal**2 == pytest.approx(totals[0] / goals[0] ** 2, rel=1e-5)
