"""Every reference agent plays the rule of its name."""

import re

import numpy as np
import pytest
from scipy import stats

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.problems import BestResponse

GAME = Game(learning_rates=train_then_deploy(3, 5))
ANY_GOAL = Game(learning_rates=train_then_deploy(3, 5), initial_goal=(-1, 1))


def observation(game, episode, goals):
    """What agents with these goals see in one episode."""
    goals = np.asarray(goals, dtype=np.float64)
    state = game.start(np.zeros((*goals.shape, game.n_uniforms)), goals)
    return game.observe(state._replace(episode=np.full(goals.shape, episode)))


@pytest.mark.parametrize("name", [*agents.NAMES, "best_of_1", "best_of_100"])
def test_actions_have_the_shape_of_the_observation_and_fit_the_space(name):
    agent = agents.make(name, GAME)
    for goals, shape in ((0.8, (1,)), ([0.8], (1, 1)), ([0.8, -0.3, 0.0], (3, 1))):
        action, _ = agent.predict(observation(GAME, 0, goals))
        assert action.shape == shape
        assert action.dtype == np.float32
        assert (np.abs(action) <= 2).all()


@pytest.mark.parametrize("name", agents.NAMES)
@pytest.mark.parametrize("shape", [(), (3,), (5,), (2, 3), (1, 1, 4)])
def test_an_observation_of_another_shape_is_refused(name, shape):
    with pytest.raises(ValueError, match=re.escape(f"(4,) or (B, 4); got shape {shape}")):
        agents.make(name, GAME).predict(np.zeros(shape))


PROFILES = {
    "equilibrium": mesa_env.solve_equilibrium,
    "grid": mesa_env.grid_search,
    "myopic": lambda game: np.ones(game.episodes),
    "compliant": lambda game: np.zeros(game.episodes),
    "guard": lambda game: np.where(game.learning_rates > 0, 0.0, 1.0),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    "game",
    [
        GAME,
        Game(learning_rates=[0.0]),
        Game(learning_rates=[0.0, 2.0, 0.0, 0.3], discount=0.8),
        Game(learning_rates=np.ones(10_000)),
    ],
    ids=["3 + 5", "1", "gaps", "10000"],
)
def test_profiles_are_played_in_every_episode_whatever_the_goal(name, game):
    expected = PROFILES[name](game)
    played = mesa_env.rollout(game, agents.make(name, game), np.array([0.8, -0.01, 0.0]))
    np.testing.assert_array_equal(played.coefficients, np.tile(expected.astype(np.float32), (3, 1)))


@pytest.mark.parametrize("name", ["myopic", "guard", "equilibrium", "grid", "precommitment", "random"])
def test_rules_stay_within_a_small_bound(name):
    game = Game(learning_rates=train_then_deploy(3, 5), coefficient_bound=0.1)
    played = mesa_env.rollout(game, agents.make(name, game), [0.8, -0.2])
    assert np.abs(played.coefficients).max() <= np.float32(0.1)
    assert np.abs(played.coefficients[:, -1]).max() > 0


def test_a_profile_must_fit_its_game():
    with pytest.raises(ValueError, match=r"got shape \(2,\)"):
        Profile(GAME, [1.0, 0.5])


# -- Precommitment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "game",
    [
        GAME,
        Game(),
        Game(learning_rates=np.full(30, 0.05), regularization=0.1),
        Game(learning_rates=[0.3, 0.3, 0.0, 0.0]),
    ],
)
def test_precommitment_emits_its_first_goal_as_long_as_the_bound_allows(game):
    first = np.array([0.8, -0.5, 0.01, 1.7])
    played = mesa_env.rollout(game, agents.make("precommitment", game), first)
    goals = played.goals[:, :-1]
    possible = np.clip(first[:, None] / goals, -2, 2) * goals
    np.testing.assert_allclose(played.outputs, possible, rtol=1e-5)
    allowed = np.abs(first[:, None]) <= 1.99 * np.abs(goals)
    assert allowed.any()
    np.testing.assert_allclose(
        played.outputs[allowed], np.broadcast_to(first[:, None], goals.shape)[allowed], rtol=1e-5
    )


def test_precommitment_remembers_the_first_goal_of_every_row():
    agent = agents.make("precommitment", ANY_GOAL)
    _, memory = agent.predict(observation(ANY_GOAL, 0, [0.8, -0.4]), episode_start=np.ones(2, bool))
    action, memory = agent.predict(observation(ANY_GOAL, 1, [0.5, -0.5]), memory, np.zeros(2, bool))
    np.testing.assert_allclose(action[:, 0], [1.6, 0.8], rtol=1e-6)
    # Row 1's game ends early and another begins, while row 0's goes on.
    later = np.stack([observation(ANY_GOAL, 2, 0.4), observation(ANY_GOAL, 0, 0.9)])
    action, memory = agent.predict(later, memory, np.array([False, True]))
    np.testing.assert_allclose(action[:, 0], [2.0, 1.0], rtol=1e-6)
    later = np.stack([observation(ANY_GOAL, 3, -0.8), observation(ANY_GOAL, 1, 0.6)])
    action, memory = agent.predict(later, memory, np.array([False, False]))
    np.testing.assert_allclose(action[:, 0], [-1.0, 1.5], rtol=1e-6)
    # Without episode_start, the clock tells that all begin anew.
    action, memory = agent.predict(observation(ANY_GOAL, 0, [0.1, 0.2]), memory)
    np.testing.assert_allclose(action[:, 0], [1.0, 1.0], rtol=1e-6)
    action, _ = agent.predict(observation(ANY_GOAL, 1, [0.2, 0.2]), memory)
    np.testing.assert_allclose(action[:, 0], [0.5, 1.0], rtol=1e-6)


def test_precommitment_that_joins_a_game_takes_the_first_goal_of_the_game():
    action, _ = agents.make("precommitment", GAME).predict(observation(GAME, 4, [0.5, -0.8]))
    np.testing.assert_allclose(action[:, 0], [1.6, -1.0], rtol=1e-6)


def test_precommitment_refuses_to_guess_a_first_goal():
    with pytest.raises(ValueError, match=r"does not know θ_0 .* pass the state"):
        agents.make("precommitment", ANY_GOAL).predict(observation(ANY_GOAL, 1, [0.5, 0.5]))


# -- Agents that draw -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "best_of_1"])
def test_coefficients_are_uniform_and_independent(name):
    played = mesa_env.rollout(GAME, agents.make(name, GAME, seed=1), np.full(4000, 0.8)).coefficients
    for episode in range(GAME.episodes):
        assert stats.kstest(played[:, episode], stats.uniform(-2, 4).cdf).pvalue > 1e-3
    correlation = np.corrcoef(played.T) - np.eye(GAME.episodes)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)


def test_best_of_two_takes_the_better_of_two_in_the_last_episode():
    # The last agent wants c near 1: P(c ≤ x) is that of the better of two uniform draws from [−2, 2].
    last = mesa_env.rollout(GAME, agents.make("best_of_2", GAME, seed=2), np.full(4000, 0.8)).coefficients[
        :, -1
    ]
    distance = np.abs(last - 1)

    def cdf(d):
        one = (np.minimum(d, 1) + d) / 4  # share of [−2, 2] that is within d of 1
        return 1 - (1 - one) ** 2

    assert stats.kstest(distance, cdf).pvalue > 1e-3


def test_more_proposals_come_closer_to_the_equilibrium():
    goals = np.full(40, 0.8)
    distances, gains = [], []
    for proposals in (2, 16, 256, 4096):
        agent = agents.make(f"best_of_{proposals}", GAME, seed=3)
        played = mesa_env.rollout(GAME, agent, goals).coefficients
        distances.append(np.abs(played - mesa_env.solve_equilibrium(GAME)).mean())
        gains.append(np.mean([mesa_env.nash_conv(GAME, profile) for profile in played]))
    assert (np.diff(distances) < 0).all()
    assert (np.diff(gains) < 0).all()
    assert distances[-1] < 2e-3
    assert gains[-1] < 1e-3


@pytest.mark.parametrize("name", ["random", "best_of_1", "best_of_8"])
def test_seeds_reproduce(name):
    first, again, other = (agents.make(name, GAME, seed=seed) for seed in (5, 5, 6))
    played = [
        mesa_env.rollout(GAME, agent, [0.8, 0.3]).coefficients for agent in (first, again, other, first)
    ]
    np.testing.assert_array_equal(played[0], played[1])
    assert (played[0] != played[2]).any()
    assert (played[0] != played[3]).any()  # a second game with the same agent is another one
    fresh = [mesa_env.rollout(GAME, agents.make(name, GAME, seed=None), 0.8).coefficients for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()


def test_best_of_k_keeps_to_the_plan_it_made_when_the_game_began():
    agent = agents.make("best_of_8", GAME, seed=0)
    first, memory = agent.predict(observation(GAME, 0, [0.8, 0.8]))
    for episode in range(1, GAME.episodes):
        action, after = agent.predict(observation(GAME, episode, [0.3, 0.4]), memory)
        np.testing.assert_array_equal(after, memory)
        np.testing.assert_array_equal(action[:, 0], memory[:, episode].astype(np.float32))
    # A new game in row 1 alone gets a new plan; row 0 keeps its own.
    both = np.stack([observation(GAME, 2, 0.8), observation(GAME, 0, 0.8)])
    _, after = agent.predict(both, memory, np.array([False, True]))
    np.testing.assert_array_equal(after[0], memory[0])
    assert (after[1] != memory[1]).all()
    assert first[1, 0] != after[1, 0]


# -- Names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Equilibrium", "equilibrium"),
        ("gard", "guard"),
        ("best_of_", "best_of_[28]"),
        ("best-of-8", "best_of_8"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_all_others(name, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'") as refusal:
        agents.make(name, GAME)
    for known in agents.NAMES:
        refusal.match(known)
    refusal.match(f"got '{name}'")


@pytest.mark.parametrize("name", ["zzz", "", None, 3])
def test_a_name_unlike_all_others_still_gets_the_list(name):
    with pytest.raises(ValueError, match="agents are named equilibrium, grid") as refusal:
        agents.make(name, GAME)
    assert "did you mean" not in str(refusal.value)


def test_best_of_none_is_refused():
    with pytest.raises(ValueError, match="K in 1…100000; got 0"):
        agents.make("best_of_0", GAME)


def test_an_agent_of_another_game_says_so():
    with pytest.raises(ValueError, match="made for another game"):
        mesa_env.rollout(Game([0.5, 0.5, 0.0]), agents.make("equilibrium", Game()), 0.8)


def test_precommitment_as_a_successor_takes_the_first_goal_of_the_game():
    game = Game([0.3, 0.0, 0.0], initial_goal=0.8)
    problem = BestResponse(game, agents.make("precommitment", game))
    step = problem.step(problem.begin(np.zeros((1, problem.n_uniforms))), np.array([[0.5]]))
    # Agent 0 emits 0.4; its successors emit θ_0 = 0.8, although they find θ_1 = 0.68.
    np.testing.assert_allclose(step.reward, -((0.4 - 0.8) ** 2), rtol=1e-6)
