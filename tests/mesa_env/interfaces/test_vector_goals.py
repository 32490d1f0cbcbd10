"""The interfaces carry games whose goals are vectors and whose actions are discrete."""

import warnings
from dataclasses import dataclass, field

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete as DiscreteSpace
from gymnasium.utils.env_checker import check_env

import mesa_env
from mesa_env.rules.rules import Discrete, Outcome, Rules, State

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test, seed_test


@dataclass(frozen=True, eq=False)
class Pursuits(Rules):
    """An agent emits its goal in R², or nothing; the base optimizer shrinks a goal that it sees."""

    learning_rates: np.ndarray = field(default_factory=lambda: np.array([0.2, 0.2, 0.0]))
    initial_goal: tuple = ((-1.0, 0.5), (1.0, 0.6))
    goal_bound: np.ndarray = field(default_factory=lambda: np.array([1.0, 2.0]))

    stochastic = False
    n_uniforms = n_start_uniforms = 2
    sincerity = np.ones(3)
    actions = Discrete(2)

    def __post_init__(self):
        self._store(learning_rates=np.asarray(self.learning_rates), goal_bound=np.asarray(self.goal_bound))

    @property
    def preference_bounds(self):
        return self.goal_bound

    @property
    def observation_bounds(self):
        return np.append(-self.goal_bound, 0), np.append(self.goal_bound, self.episodes)

    def start(self, uniforms, initial_goal=None):
        low, high = np.array(self.initial_goal)
        goal = low + (high - low) * uniforms if initial_goal is None else np.array(initial_goal)
        return State(np.zeros(uniforms.shape[:-1], dtype=np.int64)[()], goal)

    def observe(self, state):
        return np.concatenate([state.goal, np.asarray(state.episode)[..., None]], axis=-1).astype(np.float32)

    def episode_from_observation(self, observation):
        return observation[..., 2].astype(np.int64)

    def play(self, state, action):
        shown = np.asarray(action)[..., None] * state.goal
        next_goal = state.goal - self.learning_rates[state.episode, None] * shown
        outcome = Outcome(
            shown, (shown**2).sum(-1), state.goal, next_goal, self.learning_rates[state.episode] > 0
        )
        return State(state.episode + 1, next_goal), outcome

    def over(self, state):
        ended = state.episode >= self.episodes
        return ended, np.zeros_like(ended)[()]

    def preferences(self, state):
        return state.goal

    def silence(self, goal, details=None):
        return np.zeros_like(goal), {}

    def coefficients(self, action):
        return np.asarray(action).astype(float)

    def actions_of(self, coefficients):
        return coefficients.astype(int)

    def validate_profile(self, coefficients, name="coefficients"):
        return np.asarray(coefficients, dtype=float)

    def mesa_cost(self, output, preferences, elapsed, details=None):
        return ((output - preferences) ** 2).sum(axis=-1)

    def mesa_costs(self, goals, outputs, details=None):
        costs = [((outputs[n:] - goals[n]) ** 2).sum(axis=(0, -1)) for n in range(len(goals))]
        return np.array(costs)


GAME = Pursuits()


def played_through(env, pursuits, goal):
    """One game in the AEC environment: what every agent was paid, and the infos."""
    env.reset(options={"initial_goal": goal})
    returns, infos = {}, []
    for agent in env.agent_iter():
        _, reward, terminated, _, info = env.last()
        if terminated:
            returns[agent] = reward
            infos.append(info)
        env.step(None if terminated else pursuits[int(agent[-1])])
    return list(returns.values()), infos


def test_the_ecosystems_own_tests_pass():
    api_test(mesa_env.raw_env(GAME), num_cycles=20)
    seed_test(lambda: mesa_env.raw_env(GAME))
    check_env(gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=GAME).unwrapped, skip_render_check=True)


def test_every_agent_is_paid_by_its_own_vector():
    pursuits, goal = [1, 0, 1], np.array([0.5, -1.0])
    returns, infos = played_through(mesa_env.env(GAME), pursuits, goal)
    goals = [goal, goal * 0.8, goal * 0.8, goal * 0.8]
    outputs = [pursuit * own for pursuit, own in zip(pursuits, goals, strict=False)]
    for n in range(3):
        expected = -sum(((output - goals[n]) ** 2).sum() for output in outputs[n:])
        assert returns[n] == pytest.approx(expected)
        np.testing.assert_allclose(infos[n]["next_goal"], goals[n + 1])


def test_spaces_come_from_the_rules():
    env = mesa_env.raw_env(GAME)
    assert env.action_space("episode_0") == DiscreteSpace(2)
    assert env.state_space.shape == (3 + 3 * 2,)
    envs = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=3, game=GAME)
    assert envs.single_action_space == DiscreteSpace(2)
    np.testing.assert_array_equal(envs.action_space.nvec, [2, 2, 2])


def test_a_batch_plays_the_games_of_single_environments():
    envs = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=4, game=GAME)
    singles = [gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=GAME) for _ in range(4)]
    together, _ = envs.reset(seed=7)
    alone = [env.reset(seed=7 + i)[0] for i, env in enumerate(singles)]
    np.testing.assert_array_equal(together, alone)
    generator = np.random.default_rng(0)
    for _ in range(3):
        actions = generator.integers(0, 2, 4)
        together, rewards, _, _, infos = envs.step(actions)
        steps = [env.step(int(action)) for env, action in zip(singles, actions, strict=True)]
        np.testing.assert_array_equal(together, [step[0] for step in steps])
        np.testing.assert_array_equal(rewards, [step[1] for step in steps])
        np.testing.assert_array_equal(infos["next_goal"], [step[4]["next_goal"] for step in steps])


@pytest.mark.parametrize("action", [2, -1, 0.5, [0], np.nan])
def test_other_choices_are_refused(action):
    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=GAME).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must (be whole numbers in \[0, 1\]|have shape \(\)); got"):
        env.step(action)


def test_pictures_and_lines_show_every_component():
    for mode in ("ansi", "rgb_array"):
        env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=GAME, render_mode=mode).unwrapped
        env.reset(options={"initial_goal": [0.5, -1.0]})
        env.step(1)
        shown = env.render()
        if mode == "ansi":
            assert "goal (+0.5000, -1.0000), output (+0.5000, -1.0000), next goal (+0.4000, -0.8000)" in shown
        else:
            assert shown.ndim == 3
            assert len(np.unique(shown)) > 10


def test_a_best_response_to_an_agent():
    class Silent:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.zeros(len(observation), dtype=np.int64), None

    env = gymnasium.make("mesa_env/BestResponse-v0", game=GAME, successors=Silent())
    env.reset(seed=0, options={"initial_goal": [0.5, -1.0]})
    _, reward, terminated, _, info = env.step(0)
    assert terminated
    assert reward == pytest.approx(-info["scale"])
