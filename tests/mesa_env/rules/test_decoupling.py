"""The rules of the game with local policies."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, State, train_then_deploy
from mesa_env.rules.decoupling import Decoupling


@st.composite
def games(draw, **fixed):
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5]), min_size=1, max_size=6)),
        "discount": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.05, 1.0])),
        "coefficient_bound": draw(st.sampled_from([0.7, 2.0])),
        "goal_bound": draw(st.sampled_from([1.0, 10.0])),
        "decoupling": draw(st.sampled_from([0.0, 0.1, 0.5, 3.0])),
    }
    return Decoupling(**parameters | fixed)


def actions_of(game, batch, seed, dtype=np.float64):
    """Random actions for every episode, shape (N, *batch, 2)."""
    bound = game.action_bound
    drawn = np.random.default_rng(seed).uniform(-bound, bound, (game.episodes, *batch, 2))
    return drawn.astype(dtype).clip(-bound, bound)


def play_out(game, goals, actions):
    state, outcomes = game.start(np.zeros((*goals.shape, game.n_uniforms)), goals), []
    for action in actions:
        state, outcome = game.play(state, action)
        outcomes.append(outcome)
    return outcomes


goals = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=5).map(np.array)
seeds = st.integers(0, 1000)


@given(games(decoupling=0.0), goals, seeds)
def test_without_decoupling_it_is_the_base_game_bit_for_bit_whatever_slope_is_sent(game, goals, seed):
    parameters = {f.name: getattr(game, f.name) for f in dataclasses.fields(game) if f.name != "decoupling"}
    base = Game(**parameters)
    actions = actions_of(game, goals.shape, seed)
    ours, theirs = play_out(game, goals, actions), play_out(base, goals, actions[..., :1])
    for one, other in zip(ours, theirs, strict=True):
        for field in ("output", "base_loss", "goal", "next_goal", "training"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    state = State(np.arange(game.episodes), np.ones(game.episodes))
    np.testing.assert_array_equal(game.observe(state), base.observe(state))


@given(games(), goals, seeds)
def test_an_episode_follows_the_equations(game, goals, seed):
    for n, (action, outcome) in enumerate(
        zip(actions := actions_of(game, goals.shape, seed), play_out(game, goals, actions), strict=True)
    ):
        for i, theta in enumerate(outcome.goal):
            c, sent = action[i]
            s = min(max(sent, c - game.decoupling), c + game.decoupling)
            y, lam, bound = c * theta, game.regularization, game.goal_bound
            after = theta - game.learning_rates[n] * (2 * y * s + 2 * lam * theta)
            assert outcome.details["slope"][i] == s
            assert outcome.output[i] == pytest.approx(y, rel=1e-12)
            assert outcome.base_loss[i] == pytest.approx(y**2 + lam * theta**2, rel=1e-12)
            assert outcome.next_goal[i] == pytest.approx(min(max(after, -bound), bound), rel=1e-12, abs=1e-12)


@given(games(), goals, seeds, st.sampled_from([np.float32, np.float64]))
def test_a_batch_plays_as_its_games_do_alone_and_writes_into_nothing(game, goals, seed, dtype):
    actions = actions_of(game, goals.shape, seed, dtype)
    kept, first = actions.copy(), goals.copy()
    together = play_out(game, goals, actions)
    np.testing.assert_array_equal(actions, kept)
    np.testing.assert_array_equal(goals, first)
    for i in range(len(goals)):
        for several, single in zip(together, play_out(game, goals[i], actions[:, i]), strict=True):
            assert several.next_goal[i] == single.next_goal
            assert several.details["slope"][i] == single.details["slope"]
            assert np.ndim(single.details["slope"]) == 0


def test_a_goal_that_is_emitted_with_slope_0_is_never_trained_away():
    game = Decoupling(decoupling=1.0)
    trajectory = mesa_env.rollout(game, _Fixed([1.0, 0.0]), [0.8, -0.3])
    assert (trajectory.goals == [[0.8], [-0.3]]).all()
    touched = mesa_env.rollout(dataclasses.replace(game, decoupling=0.9), _Fixed([1.0, 0.0]), [0.8, -0.3])
    np.testing.assert_allclose(touched.goals[:, 20] / touched.goals[:, 0], 0.8**20)


class _Fixed:
    """One action, always."""

    def __init__(self, action):
        self.action = np.array(action, dtype=np.float32)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.broadcast_to(self.action, (*np.shape(observation)[:-1], 2)), state


def test_actions_are_a_coefficient_and_a_slope_within_their_bounds():
    game = Decoupling(coefficient_bound=1.5, decoupling=0.25)
    np.testing.assert_array_equal(game.action_bound, [1.5, 1.75])
    game.validate_actions([1.5, -1.75], ())
    for wrong in ([1.6, 0.0], [0.0, 1.8], [1.0], [np.nan, 0.0]):
        with pytest.raises(ValueError, match="actions must"):
            game.validate_actions(wrong, ())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"decoupling": -0.1}, "decoupling must be a finite number"),
        ({"decoupling": np.nan}, "decoupling must be a finite number"),
        ({"decoupling": np.inf}, "decoupling must be a finite number"),
        ({"decoupling": 1.1e38}, "decoupling must be a finite number"),
        ({"decoupling": "much"}, "decoupling must be a finite number"),
        (
            {"decoupling": 1e37, "learning_rates": [1e38], "regularization": 1e300},
            "one base update must stay finite",
        ),
        ({"discount": 1.1}, "discount must be"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Decoupling(**parameters)


def test_games_are_values():
    game = Decoupling(decoupling=0.3)
    assert pickle.loads(pickle.dumps(game)) == game == Decoupling(decoupling=0.3)
    assert game != Decoupling(decoupling=0.4)
    assert game != Game()


def test_it_plays_in_the_aec_environment():
    game = Decoupling(train_then_deploy(3, 2), decoupling=0.4)
    env = mesa_env.env(game=game)
    env.reset(seed=0)
    assert env.action_space("episode_0").shape == (2,)
    goals, paid = [0.8], dict.fromkeys(env.agents, 0.0)
    for n, agent in enumerate(env.agents):
        env.step(np.array([0.5, 0.0], dtype=np.float32))
        info = env.infos[agent]
        assert info["slope"] == pytest.approx(0.1)
        assert info["goal"] == pytest.approx(goals[-1])
        goals.append(goals[-1] * (1 - 2 * game.learning_rates[n] * 0.5 * 0.1))
        assert info["next_goal"] == pytest.approx(goals[-1])
        for other, reward in env.rewards.items():
            paid[other] += reward
    judged = np.array(goals[:-1])
    for n, reward in enumerate(paid.values()):
        assert reward == pytest.approx(-((0.5 * judged[n:] - judged[n]) ** 2).sum())
