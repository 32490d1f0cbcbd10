"""Every interface with every game: ids, refusals, checkers, and that all of them play the same games."""

from __future__ import annotations

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.seeding import np_random

import mesa_env
from mesa_env import (
    GAMES,
    AdaptiveOptimizer,
    Decoupling,
    Game,
    GoalTraining,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    Preservation,
)
from mesa_env.interfaces import rendering
from mesa_env.interfaces.aec import SequentialEnv
from mesa_env.interfaces.rendering import PLOTTED_DETAILS
from mesa_env.problems import start_at_random_turn
from mesa_env.rules.infinite_horizon import with_fixed_length
from tests.conftest import same

BEST_RESPONSE = "mesa_env/BestResponse-v0"
SHORT = {  # with all that chance can decide
    "DeceptiveAlignment": Game([1, 0.5, 0, 0.25], 0.9, 0.1, initial_goal=(-1, 1)),
    "InfiniteHorizon": InfiniteHorizon([1, 0.5, 0], 0.8, 0.1, initial_goal=(-1, 1), max_episodes=9),
    "Misconception": Misconception([0.5, 0.1, 0.0], 0.9, initial_goal=(-1, 1), initial_belief=(-0.5, 0.5)),
    "LearnableDiscount": LearnableDiscount([0.3, 0.1, 0, 0], (0.4, 0.9), initial_goal=(-1, 1)),
    "HiddenDeployment": HiddenDeployment(np.ones(5), 0.9, 0.1, initial_goal=(-1, 1), hazard=0.4, shift=1.5),
    "Decoupling": Decoupling([1, 0.5, 0], 0.9, 0.1, initial_goal=(-1, 1), decoupling=0.7),
    "AdaptiveOptimizer": AdaptiveOptimizer(
        [0.3, 0.2, 0], 0.9, 0.1, initial_goal=(-1, 1), optimizer={"optimizer": "Momentum", "momentum": 0.5}
    ),
    "Preservation": Preservation([1, 0.5, 0], 0.9, 0.1, initial_goal=(-1, 1), weight=0.4),
    "GoalTraining": GoalTraining(
        "TableWiping",
        [0.3, 0.1, 0.0, 0.2, 0],
        0.5,
        discount=0.9,
        regularization=0.1,
        initial_goal=((-1, 0), (1, 2)),
    ),
}
SEEDS = (0, 3, 12345)


@pytest.fixture(params=list(GAMES))
def name(request):
    """The name of every game."""
    return request.param


@pytest.fixture
def id(name):
    return f"mesa_env/{name}-v0"


@pytest.fixture
def game(name):
    return SHORT[name]


def sampled(env, count, seed=7):
    """Random actions of a space."""
    env.seed(seed)
    return [env.sample() for _ in range(count)]


# -- Ids --------------------------------------------------------------------------------------------------


def test_the_table_of_these_tests_holds_every_game():
    assert SHORT.keys() == GAMES.keys()
    assert all(type(game) is GAMES[name] for name, game in SHORT.items())


def test_every_game_has_its_id_in_both_registries_and_builds_with_its_defaults(name, id):
    assert id in pettingzoo.aec_registry
    assert id in gymnasium.registry
    single, batch = gymnasium.make(id), gymnasium.make_vec(id, num_envs=3)
    aec = pettingzoo.make("aec", id)
    default = GAMES[name]()
    for built in (single.unwrapped.problem.game, batch.unwrapped.problem.game, aec.unwrapped.game):
        assert type(built) is GAMES[name]
        assert built == default
    assert batch.num_envs == 3
    assert gymnasium.spec(id).max_episode_steps is None
    aec.reset(seed=0)
    np.testing.assert_array_equal(single.reset(seed=0)[0], aec.observe("episode_0"))
    np.testing.assert_array_equal(batch.reset(seed=0)[0][0], aec.observe("episode_0"))


def test_a_game_of_another_class_is_refused_by_name(name, id):
    strangers = [object(), "Misconception", GAMES[name]]
    if name != "DeceptiveAlignment":  # whose id takes every variant
        strangers += [game for other, game in SHORT.items() if other != name]
    for stranger in strangers:
        for build in (
            lambda game: pettingzoo.make("aec", id, game=game),
            lambda game: gymnasium.make(id, game=game),
            lambda game: gymnasium.make_vec(id, num_envs=2, game=game),
        ):
            with pytest.raises(
                TypeError, match=rf"game must be a mesa_env\.{GAMES[name].__name__} or its parameters; got"
            ):
                build(stranger)


def test_the_id_of_the_base_game_takes_every_game(game):
    base = "mesa_env/DeceptiveAlignment-v0"
    assert pettingzoo.make("aec", base, game=game).unwrapped.game is game
    assert gymnasium.make(base, game=game).unwrapped.problem.game is game
    assert gymnasium.make_vec(base, num_envs=2, game=game).unwrapped.problem.game is game
    assert mesa_env.env(game=game).unwrapped.game is game


@pytest.mark.parametrize(
    "build", [mesa_env.env, lambda rules: gymnasium.make("mesa_env/Misconception-v0", rules=rules)]
)
def test_unknown_rules_are_refused(build):
    with pytest.raises(ValueError, match=r"rules must be one of DeceptiveAlignment, .*; got 'Chess'"):
        build(rules="Chess")


def test_an_environment_bears_the_name_of_its_rules_and_no_other_does(name, id, game):
    for env in (
        pettingzoo.make("aec", id),
        mesa_env.env(game, rules=name),
        mesa_env.raw_env(game, rules=name),
    ):
        assert env.metadata["name"] == f"{name}-v0"
        assert env.metadata["render_fps"] == 10
    assert SequentialEnv.metadata["name"] == mesa_env.raw_env().metadata["name"] == "DeceptiveAlignment-v0"


# -- One game in every interface --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_plays_the_same_game_in_every_interface(id, game, seed):
    """Bit for bit: observations, infos, agent 0's rewards, and how the game ends."""
    aec = pettingzoo.make("aec", id, game=game)
    single = gymnasium.make(id, game=game, judge="initial")
    batch = gymnasium.make_vec(id, num_envs=2, game=game, judge="initial")
    width = single.observation_space.shape[0]
    for round_ in range(2):  # and so is the game after it
        aec.reset(seed=None if round_ else seed)
        # Where a batch's game is over, its next step begins another.
        first = batch.reset(seed=None if round_ else [seed, seed])[0][0]
        np.testing.assert_array_equal(single.reset(seed=None if round_ else seed)[0], first)
        np.testing.assert_array_equal(aec.observe("episode_0"), first)
        ended = False
        for n, action in enumerate(sampled(single.action_space, game.episodes, seed=round_)):
            assert aec.agent_selection == f"episode_{n}"
            aec.step(action)
            seen, reward, over, cut, info = single.step(action)
            observations, rewards, overs, cuts, infos = batch.step(np.stack([action, action]))
            assert same(aec.infos[f"episode_{n}"], info)
            assert same(
                info, {key: infos[key][0] if infos[key].ndim > 1 else infos[key][0].item() for key in info}
            )
            assert aec.rewards["episode_0"] == reward == rewards[0] == rewards[1]
            assert aec.terminations["episode_0"] is over is bool(overs[0])
            assert aec.truncations["episode_0"] is cut is bool(cuts[0])
            np.testing.assert_array_equal(aec.state()[:width], seen)
            np.testing.assert_array_equal(observations, [seen, seen])
            assert single.observation_space.contains(seen)
            if over or cut:
                ended = True
                break
            np.testing.assert_array_equal(aec.observe(aec.agent_selection), seen)
        assert ended


@pytest.mark.parametrize("goal", [0.5, 9.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_state_lies_in_its_space_and_begins_with_the_present_observation(game, seed, goal):
    env = mesa_env.raw_env(game=game)
    env.reset(seed=seed, options={"initial_goal": np.full(game.goal_shape, goal)})
    width = len(game.observation_bounds[0])
    states = [env.state()]
    for action in sampled(env.action_space("episode_0"), game.episodes):
        np.testing.assert_array_equal(env.state()[:width], env.observe(env.agent_selection))
        env.step(action)
        states.append(env.state())
        if any(env.terminations.values()) or any(env.truncations.values()):
            break
    for state in states:
        assert env.state_space.contains(state)
    assert len(np.unique(states, axis=0)) == len(states)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_agents_are_paid_is_minus_the_mesa_costs_of_the_rules(game, seed):
    """Where a game may end at random, the costs of those episodes that were played."""
    env = mesa_env.raw_env(game=game)
    env.reset(seed=seed)
    for action in sampled(env.action_space("episode_0"), game.episodes):
        env.step(action)
        if any(env.terminations.values()) or any(env.truncations.values()):
            break
    infos = [env.infos[agent] for agent in env.agents if env.infos[agent]]
    if not isinstance(game, InfiniteHorizon):
        assert len(infos) == game.episodes
    told = {key: np.array([[info[key]] for info in infos]) for key in infos[0]}
    costs = game.mesa_costs(told.pop("goal"), told.pop("output"), told)[:, 0]
    received = [env._cumulative_rewards[agent] for agent in env.agents]
    np.testing.assert_allclose(received[: len(infos)], -costs, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(received[len(infos) :], 0)


def test_a_goal_that_is_asked_for_begins_the_game_everywhere(id, game):
    aec, single = mesa_env.env(game=game), gymnasium.make(id, game=game)
    batch = gymnasium.make_vec(id, num_envs=2, game=game)
    asked = {"initial_goal": np.full(game.goal_shape, 0.25)}
    aec.reset(seed=1, options=asked)
    assert aec.observe("episode_0")[0] == 0.25
    assert single.reset(seed=1, options=asked)[0][0] == 0.25
    np.testing.assert_array_equal(batch.reset(seed=1, options=asked)[0][:, 0], 0.25)


# -- Rendering --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_both_interfaces_draw_the_same_game(id, game, render_mode):
    game = with_fixed_length(game)  # which has two episodes to draw, whatever the seed
    single = gymnasium.make(id, game=game, render_mode=render_mode)
    aec = pettingzoo.make("aec", id, game=game, render_mode=render_mode)
    single.reset(seed=0)
    aec.reset(seed=0)
    history = []
    for action in sampled(single.action_space, 2):
        history.append(single.step(action)[4])
        aec.step(action)
    expected = {"rgb_array": rendering.frame, "ansi": rendering.text}[render_mode](game, history)
    np.testing.assert_array_equal(single.render(), expected)
    np.testing.assert_array_equal(aec.render(), expected)
    if render_mode == "rgb_array":
        assert expected.dtype == np.uint8
        assert expected.shape == (450, 800, 3)
    else:
        assert expected.startswith(f"episode 2 of {game.episodes}")


def test_traces_are_drawn(name, game):
    """Every trace is told by the infos, and a picture shows it."""
    env = mesa_env.raw_env(game=with_fixed_length(game))
    env.reset(seed=0)
    for action in sampled(env.action_space("episode_0"), 3):
        env.step(action)
    history = [env.infos[f"episode_{n}"] for n in range(3)]
    picture = rendering.frame(game, history)
    for trace in PLOTTED_DETAILS.get(type(game), {}):
        moved = [info | {trace: info[trace] - 0.5} for info in history]
        assert (rendering.frame(game, moved) != picture).any()


# -- Best responses ---------------------------------------------------------------------------------------


def decision_by_hand(game, successors, seed, action):
    """Reward, scale and observation of one decision, one turn at a time."""
    chance = np_random(seed)[0].random((1, 1 + game.n_uniforms))
    state = start_at_random_turn(game, chance)
    judge, first = game.preferences(state), state.episode.copy()
    observation, actions = game.observe(state)[0], action[None]
    cost = scale = 0.0
    memory, start = None, np.array([True])
    while not np.logical_or(*game.over(state)).any():
        elapsed = state.episode - first
        if elapsed[0]:
            if successors is None:
                actions = game.actions_of(np.ones(1))
            else:
                actions, memory = successors.predict(game.observe(state), memory, start, deterministic=True)
                start = np.array([False])
        state, outcome = game.play(state, actions)
        silent, silent_details = game.silence(outcome.goal, outcome.details)
        cost += game.mesa_cost(outcome.output, judge, elapsed, outcome.details)[0]
        scale += game.mesa_cost(silent, judge, elapsed, silent_details)[0]
    return observation, -cost, scale


@pytest.mark.parametrize("given", ["default", "equilibrium"])
def test_best_responses_play_every_variant_to_its_end(game, given):
    successors = None if given == "default" else mesa_env.oracle(game)
    env = gymnasium.make(BEST_RESPONSE, game=game, successors=successors)
    batch = gymnasium.make_vec(BEST_RESPONSE, num_envs=8, game=game, successors=successors)
    posed, _ = batch.reset(seed=0)
    chosen = np.stack(sampled(env.action_space, 8))
    _, rewards, ends, cuts, infos = batch.step(chosen)
    assert ends.all()
    assert not cuts.any()
    for seed in range(8):
        observation, reward, scale = decision_by_hand(game, successors, seed, chosen[seed])
        seen, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(seen, observation)
        np.testing.assert_array_equal(posed[seed], observation)
        _, paid, over, cut, info = env.step(chosen[seed])
        assert (over, cut) == (True, False)
        assert paid == rewards[seed] == pytest.approx(reward, rel=1e-9)
        told = infos["final_info"]["scale"][seed]
        assert info["scale"] == told == pytest.approx(scale, rel=1e-9)
    assert len(np.unique(posed[:, game.goal_width + 2])) > 1  # several agents were seated


@pytest.mark.parametrize("name", ["DeceptiveAlignment", "Misconception", "LearnableDiscount", "Decoupling"])
def test_no_agent_is_paid_more_for_leaving_the_oracle(name):
    """Where no chance is left once the agent is seated."""
    game = SHORT[name]
    oracle = mesa_env.oracle(game)
    env = gymnasium.make_vec(BEST_RESPONSE, num_envs=16, game=game, successors=oracle)
    observation, _ = env.reset(seed=0)
    best, _ = oracle.predict(observation)
    _, paid, _, _, info = env.step(best)
    scale = info["final_info"]["scale"]
    for shift in (-0.3, -0.05, 0.05, 0.3):
        np.testing.assert_array_equal(env.reset(seed=0)[0], observation)
        bound = game.action_bound.astype(np.float32)
        _, other, _, _, _ = env.step(np.clip(best + np.float32(shift), -bound, bound))
        assert (other <= paid + 1e-5 * scale).all()
        assert (other < paid - 1e-5 * scale).any()
