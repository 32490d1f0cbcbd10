"""Rollouts are the games that the environments play."""

import copy
import pickle

import numpy as np
import pytest
import torch

import agents
import mesa_env
from mesa_env import Decoupling, Game, HiddenDeployment, InfiniteHorizon, Misconception, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.evaluation.trajectory import map_states
from mesa_env.rules.infinite_horizon import with_fixed_length
from tests.conftest import ONE_OF_EACH_KIND, every_kind, goals_of
from tests.conftest import same as identical

GAMES = {
    "3 + 5": Game(learning_rates=train_then_deploy(3, 5)),
    "discounted": Game(learning_rates=[1.0, 0.3, 0.0, 2.0, 0.0], discount=0.7),
    "regularized": Game(learning_rates=[1.0, 0.5, 0.0], regularization=0.2),
    "random goals": Game(learning_rates=train_then_deploy(2, 2), initial_goal=(-1, 1)),
}
every_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
every_name = pytest.mark.parametrize("name", agents.NAMES)


class Echo:
    """An agent that plays the same action in every row, whatever it sees."""

    def __init__(self, action):
        self.action = action

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.tile(np.asarray(self.action, dtype=np.float64), (len(observation), 1)), None


def played_in_the_environment(game, agent, initial_goal):
    """Infos and returns of the AEC environment's agents, in order, playing one observation at a time."""
    env = mesa_env.env(game)
    env.reset(options={"initial_goal": initial_goal})
    infos, returns, memory = [], [], None
    for name in env.agent_iter():
        observation, reward, terminated, _, info = env.last()
        if terminated:
            returns.append(reward)
            infos.append(info)
            env.step(None)
            continue
        begins = np.array([name == "episode_0"])
        action, memory = agent.predict(observation, state=memory, episode_start=begins, deterministic=True)
        env.step(action)
    return infos, np.array(returns)


@every_game
@every_name
@pytest.mark.parametrize("goal", [0.8, -0.3])
def test_is_the_game_that_the_aec_environment_plays_bit_for_bit(game, name, goal):
    trajectory = mesa_env.rollout(game, agents.make(name, game, seed=4), goal)
    infos, returns = played_in_the_environment(game, agents.make(name, game, seed=4), goal)
    np.testing.assert_array_equal(trajectory.outputs, [info["output"] for info in infos])
    np.testing.assert_array_equal(trajectory.base_losses, [info["base_loss"] for info in infos])
    np.testing.assert_array_equal(trajectory.goals[:-1], [info["goal"] for info in infos])
    np.testing.assert_array_equal(trajectory.goals[1:], [info["next_goal"] for info in infos])
    np.testing.assert_array_equal(trajectory.outputs, trajectory.coefficients * trajectory.goals[:-1])
    # Every agent has been paid −J_n, judged by its own goal.
    costs = game.mesa_costs(trajectory.goals[:-1, None], trajectory.outputs[:, None])[:, 0]
    np.testing.assert_allclose(returns, -costs, rtol=1e-9, atol=1e-12 * (1 + costs.max()))


@every_game
@every_name
def test_play_pays_every_seat_the_negative_cost_of_the_rollout(game, name):
    returns = mesa_env.play(mesa_env.env(game), agents.make(name, game, seed=4), seed=7)
    assert list(returns) == [f"episode_{n}" for n in range(game.episodes)]
    env = mesa_env.env(game)
    env.reset(seed=7)
    first = float(env.unwrapped.state()[4])
    trajectory = mesa_env.rollout(game, agents.make(name, game, seed=4), first)
    costs = game.mesa_costs(trajectory.goals[:-1, None], trajectory.outputs[:, None])[:, 0]
    # The environment's θ_0 is a double, of which `state` shows the single.
    np.testing.assert_allclose(list(returns.values()), -costs, rtol=1e-4, atol=1e-5 * (1 + costs.max()))


@every_game
@pytest.mark.parametrize(
    "name", [name for name in agents.NAMES if name not in ("random", "best_of_2", "best_of_8")]
)
def test_row_of_a_batch_is_the_game_played_alone_bit_for_bit(game, name):
    goals = np.array([0.8, -0.3, 0.0, 1.0, 1e-9])
    batch = mesa_env.rollout(game, agents.make(name, game), goals)
    for row, goal in enumerate(goals):
        alone = mesa_env.rollout(game, agents.make(name, game), goal)
        for whole, single in zip(batch.row(row)[:5], alone[:5], strict=True):
            np.testing.assert_array_equal(whole, single)


def test_shapes():
    game = GAMES["3 + 5"]
    alone = mesa_env.rollout(game, agents.make("myopic", game), 0.8)
    assert [field.shape for field in alone[:5]] == [(9,), (8,), (8,), (8,), (8,)]
    batch = mesa_env.rollout(game, agents.make("myopic", game), [0.8, 0.1])
    assert [field.shape for field in batch[:5]] == [(2, 9), (2, 8), (2, 8), (2, 8), (2, 8)]


VARIANTS = {
    "base": Game([1.0, 0.3, 0.0], initial_goal=(-1, 1)),
    "belief": Misconception([0.3, 0.1, 0.0], initial_belief=(-0.5, 0.5)),
    "signals": HiddenDeployment(np.ones(4), hazard=0.3, observed="signal"),
    "two parts": Decoupling([1, 0.5, 0], decoupling=0.3),
    "ends": InfiniteHorizon([1.0, 0.5], discount=0.6, max_episodes=9),
}
every_variant = pytest.mark.parametrize("game", VARIANTS.values(), ids=VARIANTS)
DRAWN = [0.8, -0.3, 0.05, -0.6]


def same(left, right):
    """Whether two trees of tuples, dicts and arrays hold the same numbers."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return np.array_equal(left, right, equal_nan=True)


@every_variant
def test_states_and_actions_reproduce_each_turn(game):
    """From each state and action, the rules give what the trajectory holds of that episode and the next."""
    played = mesa_env.rollout(game, agents.make("random", game, seed=3), DRAWN)
    episodes = played.outputs.shape[1]
    assert len(played.states) == episodes
    assert played.actions.shape == (4, episodes, len(game.action_bound))
    assert len(np.unique(played.actions)) == played.actions.size
    for n, state in enumerate(played.states):
        going = np.isfinite(played.outputs[:, n])
        assert going.any()
        np.testing.assert_array_equal(state.episode[going], n)
        after, outcome = game.play(state, played.actions[:, n].astype(np.float32))
        np.testing.assert_array_equal(state.goal[going], played.goals[going, n])
        np.testing.assert_array_equal(outcome.output[going], played.outputs[going, n])
        np.testing.assert_array_equal(played.coefficients[going, n], played.actions[going, n, 0])
        for name, values in outcome.details.items():
            np.testing.assert_array_equal(np.asarray(values)[going], played.details[name][going, n])
        if n + 1 < episodes:
            going = np.isfinite(played.outputs[:, n + 1])
            following = map_states(lambda part, rows=going: part[rows], played.states[n + 1])
            assert same(tuple(map_states(lambda part, rows=going: part[rows], after)), tuple(following))


@every_variant
def test_a_row_of_a_batch_has_its_states_and_actions_too(game):
    played = mesa_env.rollout(game, agents.make("myopic", game), DRAWN)
    for row in range(4):
        alone = played.row(row)
        assert len(alone.states) == len(played.states)
        assert alone.actions.shape == played.actions.shape[1:]
        np.testing.assert_array_equal(alone.actions, played.actions[row])
        for one, all_ in zip(alone.states, played.states, strict=True):
            assert type(one.extra) is type(all_.extra)
            assert same(tuple(one), tuple(map_states(lambda part, row=row: part[row], all_)))


@every_variant
def test_map_replaces_every_array_and_keeps_the_structure(game):
    played = mesa_env.rollout(game, agents.make("myopic", game), DRAWN)
    back = played.map(lambda array: array[::-1])
    assert back.game is game
    assert not same(tuple(back)[:-1], tuple(played)[:-1])
    assert same(tuple(back.map(lambda array: array[::-1]))[:-1], tuple(played)[:-1])
    for row in range(4):
        assert same(tuple(back.row(row))[:-1], tuple(played.row(3 - row))[:-1])
    assert all(type(state.extra) is type(played.states[0].extra) for state in back.states)
    count = []
    played.map(lambda array: count.append(array.shape[0]) or array)
    parts = 2 + len(played.states[0].extra)
    assert count == [4] * (6 + len(played.details) + parts * len(played.states))


@every_variant
def test_states_are_joined_field_by_field(game):
    states = mesa_env.rollout(game, agents.make("myopic", game), DRAWN).states
    joined = map_states(lambda *parts: np.concatenate(parts), *states)
    assert joined.goal.shape == (4 * len(states),)
    for n, state in enumerate(states):
        rows = slice(4 * n, 4 * n + 4)
        assert same(tuple(map_states(lambda part, rows=rows: part[rows], joined)), tuple(state))


def test_goals_follow_the_base_update_and_its_projection():
    game = Game(learning_rates=[1.0, 1.0, 1.0, 0.0])
    played = mesa_env.rollout(game, Echo([2.0]), 0.8)
    np.testing.assert_allclose(played.goals, [0.8, -5.6, 10, -10, -10], rtol=1e-12)
    np.testing.assert_allclose(played.outputs, [1.6, -11.2, 20, -20], rtol=1e-12)


def test_a_goal_of_zero_stays_and_emits_nothing():
    game = GAMES["3 + 5"]
    played = mesa_env.rollout(game, Profile(game, np.linspace(-1, 1, 8)), 0.0)
    assert not played.goals.any()
    assert not played.outputs.any()
    np.testing.assert_array_equal(played.coefficients, np.linspace(-1, 1, 8).astype(np.float32))


@pytest.mark.parametrize("goal", [10.5, -11, np.nan, np.inf, [0.5, 11], [[0.1]], None, "big", []])
def test_bad_goals_are_refused(goal):
    game = GAMES["3 + 5"]
    with pytest.raises(ValueError, match=r"initial_goal must be .* ±10; got"):
        mesa_env.rollout(game, agents.make("myopic", game), goal)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([np.nan], r"finite numbers in \[-2, 2\]; got"),
        ([np.inf], r"finite numbers in \[-2, 2\]; got"),
        ([2.5], r"in \[-2, 2\]; got .*2\.5"),
        ([-2.001], r"in \[-2, 2\]; got .*-2\.001"),
        ([0.1, 0.2], r"shape \(3, 1\); got shape \(3, 2\)"),
    ],
)
def test_bad_actions_are_refused(action, message):
    with pytest.raises(ValueError, match=message):
        mesa_env.rollout(GAMES["3 + 5"], Echo(action), [0.8, 0.1, 0.0])


@pytest.mark.parametrize("agent", [3, None, "equilibrium"])
def test_what_cannot_predict_is_no_agent(agent):
    with pytest.raises(TypeError, match=rf"an agent must have predict.*; got {agent!r}"):
        mesa_env.rollout(Game(), agent, 0.8)


class Intruder(Echo):
    """An agent that writes into whatever it is given, and returns one array again and again."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        if state is None:
            state = np.empty((len(observation), len(self.action)), np.float32)
        state[:] = np.multiply(self.action, observation[:, 2:3])
        observation[:] = np.nan
        if episode_start is not None:
            episode_start[:] = not episode_start.any()
        return state, state


@pytest.mark.parametrize("name", ["DeceptiveAlignment", "Misconception", "Decoupling"])
def test_an_agent_may_write_into_what_it_is_given_and_into_what_it_has_returned(name):
    game = ONE_OF_EACH_KIND[name]
    action = np.full(len(game.action_bound), 0.5)
    played = mesa_env.rollout(game, Intruder(action), [0.8, -0.3])
    left = np.arange(game.episodes, 0, -1) / game.episodes
    expected = np.tile((left[:, None] * action).astype(np.float32), (2, 1, 1))
    np.testing.assert_array_equal(played.actions, expected)
    np.testing.assert_array_equal(played.coefficients, expected[..., 0])


@every_kind
def test_outcomes_and_what_was_played_can_be_copied_and_pickled(name):
    game = with_fixed_length(ONE_OF_EACH_KIND[name])
    agent = agents.make("compliant", game)
    played, start = mesa_env.rollout(game, agent, goals_of(game, 0.5)[0]), np.full((2, game.n_uniforms), 0.5)
    outcome = game.play(game.start(start), game.actions_of(np.zeros(2)))
    for original in (played, outcome):
        for again in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert identical(again, original)
            assert type(again) is type(original)


@pytest.mark.parametrize("kind", [np.float16, np.float32, ">f4", np.longdouble])
def test_what_was_played_is_in_double_precision_whatever_an_agent_returns(kind):
    class Typed(Echo):
        def predict(self, observation, **options):
            return np.full((len(observation), 1), self.action, kind), None

    game = GAMES["3 + 5"]
    played = mesa_env.rollout(game, Typed(0.375), 0.8)
    assert played.coefficients.dtype == played.actions.dtype == np.float64
    expected = mesa_env.rollout(game, Profile(game, np.full(8, 0.375)), 0.8)
    assert mesa_env.measure(game, played) == mesa_env.measure(game, expected)


@pytest.mark.parametrize("answer", [None, 0.5, [], [[0.5], [0.5]], "ab", {}], ids=repr)
def test_an_agent_that_does_not_answer_with_one_action_is_told_so(answer):
    class Answer(Echo):
        def predict(self, observation, **options):
            return self.action, None

    with pytest.raises(ValueError, match="predict must return one action for one observation; got"):
        mesa_env.play(mesa_env.env(game=GAMES["3 + 5"]), Answer(answer))


@pytest.mark.parametrize(
    "convert", [list, tuple, np.float16, torch.tensor], ids=lambda convert: convert.__name__
)
def test_an_agent_may_answer_in_any_container(convert):
    class Answer(Echo):
        def predict(self, observation, **options):
            return convert([[0.375]] * len(observation)), None

    for game in (GAMES["3 + 5"], HiddenDeployment(np.ones(3), hazard=0.3, goal_bound=1.0)):
        agent, expected = Answer(None), Profile(game, np.full(game.episodes, 0.375))
        assert mesa_env.play(mesa_env.env(game=game), agent, 0) == mesa_env.play(
            mesa_env.env(game=game), expected, 0
        )
        played, known = (mesa_env.rollout(game, each, 0.8) for each in (agent, expected))
        found, audited = mesa_env.audit(game, agent, played), mesa_env.audit(game, expected, known)
        np.testing.assert_array_equal(found.gains, audited.gains)
