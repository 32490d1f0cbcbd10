"""Gymnasium's environments of one decision against given successors."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_env_for_stable_baselines

import agents
import mesa_env
from mesa_env import Game, train_then_deploy

ID = "mesa_env/BestResponse-v0"
SHORT = Game(train_then_deploy(3, 4))
DRAWN = Game([1, 0.5, 0, 0.25], discount=0.9, regularization=0.05, initial_goal=(-1, 1))
WIDE_ACTIONS = pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")


def make(game=SHORT, **arguments):
    return gymnasium.make(ID, game=game, **arguments)


def make_batch(game=SHORT, num_envs=64, **arguments):
    return gymnasium.make_vec(ID, num_envs=num_envs, game=game, **arguments)


def seat(game, observation):
    """Index of the deciding agent, read off the share of episodes left."""
    return np.rint((1 - np.asarray(observation, dtype=np.float64)[..., 2]) * game.episodes).astype(int)


def profile(game, seed=3):
    """Random coefficients of a whole game, in single precision."""
    bound = game.coefficient_bound
    return np.random.default_rng(seed).uniform(-bound, bound, game.episodes).astype(np.float32)


def cost_by_hand(by_hand, game, n, action, successors, goal):
    """J_n of agent n that has goal θ_n, from the rest of the game alone; its first outcome too."""
    rest = Game(
        game.learning_rates[n:],
        game.discount,
        game.regularization,
        game.coefficient_bound,
        game.goal_bound,
    )
    played = by_hand(rest, [action, *successors[n + 1 :]], goal)
    return played.mesa_costs[0], played


# -- One decision -------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["default", "coefficients"])
def test_the_reward_is_minus_the_mesa_cost(by_hand, game, given):
    successors = np.ones(game.episodes) if given == "default" else profile(game)
    env = make(game, successors=None if given == "default" else successors)
    goals = np.random.default_rng(0).uniform(-game.goal_bound, game.goal_bound, 40) / 10
    seats = set()
    for seed, asked in enumerate(goals):
        observation, info = env.reset(seed=seed, options={"initial_goal": asked})
        n = seat(game, observation)
        seats.add(int(n))
        assert info == {}
        assert observation[0] == np.float32(asked)
        action = profile(game, seed)[:1]
        _, reward, terminated, truncated, info = env.step(action)
        cost, played = cost_by_hand(by_hand, game, n, action[0], successors, float(asked))
        assert (terminated, truncated) == (True, False)
        assert reward == pytest.approx(-cost, rel=1e-9, abs=1e-12)
        assert info["output"] == pytest.approx(played.outputs[0])
        assert info["base_loss"] == pytest.approx(played.base_losses[0])
        assert info["next_goal"] == pytest.approx(played.goals[1], abs=1e-12)
    assert len(seats) > min(game.episodes, 25) / 2


def test_the_scale_is_the_cost_of_emitting_zero_for_ever(by_hand, game):
    """θ_n² Σ_{k ≥ n} γ^(k−n): what the reward is where everybody plays 0."""
    env = make(game, successors=np.zeros(game.episodes))
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        n = seat(game, observation)
        _, reward, _, _, info = env.step(np.zeros(1, dtype=np.float32))
        weights = sum(game.discount**k for k in range(game.episodes - n))
        assert info["scale"] == pytest.approx(float(observation[0]) ** 2 * weights, rel=1e-6)
        assert info["scale"] == pytest.approx(-reward, rel=1e-12)


def test_predecessors_do_not_matter():
    early, late = np.zeros(7), np.ones(7)
    early[4:] = late[4:] = 0.5
    envs = [make(successors=successors) for successors in (early, late)]
    for seed in range(20):
        n = {int(seat(SHORT, env.reset(seed=seed)[0])) for env in envs}.pop()
        rewards = {env.step(np.full(1, 0.3, dtype=np.float32))[1] for env in envs}
        assert (len(rewards) == 1) == (n >= 3)


@pytest.mark.parametrize("name", ["equilibrium", "guard", "myopic", "compliant"])
@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_an_agent_is_worth_the_coefficients_that_it_plays(game, name):
    """Bit for bit, once the coefficients are rounded as an agent's actions are."""
    agent = agents.make(name, game)
    with_agent = make_batch(game, successors=agent)
    with_coefficients = make_batch(game, successors=agent.coefficients.astype(np.float32))
    action = np.random.default_rng(0).uniform(-1, 1, (64, 1)).astype(np.float32)
    for env in (with_agent, with_coefficients):
        env.reset(seed=5)
    assert data_equivalence(with_agent.step(action), with_coefficients.step(action), exact=True)


class Echo:
    """A recurrent successor: plays a tenth of how often it was called since its rows began."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        assert episode_start.shape == (len(observation),)
        assert set(episode_start) == {state is None}
        calls = np.ones(len(observation)) if state is None else state + 1
        return (0.1 * calls[:, None]).astype(np.float32), calls


@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_a_recurrent_agent_is_handed_its_memory(by_hand, game):
    env = make_batch(game, successors=Echo())
    for seed in (0, 100):
        observations, _ = env.reset(seed=seed)
        rewards = env.step(np.full((64, 1), 0.5, dtype=np.float32))[1]
        goals = make_goals(game, seed)
        for observation, goal, reward in zip(observations, goals, rewards, strict=True):
            n = int(seat(game, observation))
            plan = np.zeros(game.episodes)
            plan[n + 1 :] = np.float32(0.1 * np.arange(1, game.episodes - n))
            cost, _ = cost_by_hand(by_hand, game, n, 0.5, plan, goal)
            assert reward == pytest.approx(-cost, rel=1e-5)


def make_goals(game, seed):
    """The goals of the 64 rows that `seed` seats, in double precision: 1 has them emitted."""
    twin = make_batch(game)
    twin.reset(seed=seed)
    return twin.step(np.ones((64, 1), dtype=np.float32))[4]["final_info"]["output"].tolist()


@pytest.mark.parametrize("game", [SHORT, DRAWN, Game()], ids=["short", "drawn", "post"])
def test_the_best_action_of_a_grid_is_the_closed_forms_best_response(game):
    """Every row of the batch is the same decision, and takes another action of the grid."""
    successors = np.abs(profile(game)) / 2
    grid = np.linspace(-2, 2, 401)
    env = make_batch(game, num_envs=len(grid), successors=successors)
    seats = set()
    for seed in range(12):
        observations, _ = env.reset(seed=[seed] * len(grid))
        (n,) = set(seat(game, observations).tolist())
        rewards = env.step(grid[:, None])[1]
        expected = mesa_env.best_response(game, successors, n)
        assert grid[np.argmax(rewards)] == pytest.approx(expected, abs=0.005 + 1e-9)
        seats.add(n)
    assert len(seats) > 2


def test_no_agent_gains_by_leaving_the_equilibrium():
    game = Game()
    equilibrium = mesa_env.solve_equilibrium(game)
    env = make_batch(game, num_envs=256, successors=agents.make("equilibrium", game))
    observations, _ = env.reset(seed=1)
    own = env.step(equilibrium[seat(game, observations)][:, None])[1]
    for c in np.linspace(-2, 2, 21):
        env.reset(seed=1)
        assert (env.step(np.full((256, 1), c))[1] <= own + 1e-6).all()


def test_every_agent_decides_equally_often():
    """Pearson's χ² over 8 seats stays under its 99.9th percentile with 7 degrees of freedom, 24.32."""
    game = Game(train_then_deploy(4, 4), initial_goal=(-1, 1))
    env = make_batch(game, num_envs=4096)
    observations, _ = env.reset(seed=0)
    counts = np.bincount(seat(game, observations), minlength=8)
    assert ((counts - 512) ** 2 / 512).sum() < 24.32
    assert abs(np.corrcoef(observations[:, 0], observations[:, 2])[0, 1]) < 4 / np.sqrt(4096)
    assert abs(observations[:, 0].mean()) < 4 / np.sqrt(3 * 4096)


def test_the_default_is_the_posts_first_experiment_against_honest_successors():
    pair = gymnasium.make(ID), make(Game(), successors=np.ones(100))
    for seed in range(5):
        assert data_equivalence(*(env.reset(seed=seed) for env in pair), exact=True)
        assert data_equivalence(*(env.step(np.full(1, 0.2, np.float32)) for env in pair), exact=True)


def test_a_decision_is_made_once():
    env = make()
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        env.unwrapped.step(np.zeros(1))
    env.reset(seed=0)
    env.step(np.zeros(1, dtype=np.float32))
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        env.step(np.zeros(1, dtype=np.float32))


def test_a_refused_action_leaves_the_decision_open():
    env, undisturbed = make(DRAWN), make(DRAWN)
    for each in (env, undisturbed):
        each.reset(seed=4)
    for bad in (np.array([3.0]), np.array([np.nan]), np.zeros(2)):
        with pytest.raises(ValueError, match="actions must"):
            env.unwrapped.step(bad)
    action = np.full(1, 0.4, dtype=np.float32)
    assert data_equivalence(env.step(action), undisturbed.step(action), exact=True)


# -- Batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_rows_are_single_decisions_bit_for_bit_and_no_step_is_wasted(game):
    """Every step is a decision of its own, with a reward of its own; the next is already posed."""
    batch = make_batch(game, num_envs=4, successors=profile(game))
    singles = [make(game, successors=profile(game)) for _ in range(4)]
    observations, _ = batch.reset(seed=30)
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(observations[i], single.reset(seed=30 + i)[0])
    for step in np.random.default_rng(1).uniform(-2, 2, (10, 4, 1)).astype(np.float32):
        observations, rewards, terminated, truncated, info = batch.step(step)
        assert terminated.all()
        assert not truncated.any()
        assert set(info) == {"final_obs", "_final_obs", "final_info", "_final_info"}
        for i, single in enumerate(singles):
            seen, reward, _, _, told = single.step(step[i])
            np.testing.assert_array_equal(info["final_obs"][i], seen)
            assert rewards[i] == reward < 0
            assert {name: info["final_info"][name][i] for name in told} == told
            np.testing.assert_array_equal(observations[i], single.reset()[0])


@pytest.mark.parametrize(
    "mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP], ids=lambda mode: mode.value
)
@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_batches_are_gymnasiums_own(game, mode):
    own = make_batch(game, 5, successors=profile(game), autoreset_mode=mode)
    sync = make_batch(
        game,
        5,
        successors=profile(game),
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
    )
    assert data_equivalence(own.reset(seed=2), sync.reset(seed=2), exact=True)
    for step in np.random.default_rng(1).uniform(-2, 2, (9, 5, 1)).astype(np.float32):
        (*ours, our_info), (*theirs, their_info) = own.step(step), sync.step(step)
        assert data_equivalence(ours, theirs, exact=True)
        for info in (our_info, their_info):
            if "final_obs" in info:
                info["final_obs"] = np.stack(info["final_obs"])
        assert data_equivalence(our_info, their_info, exact=True)


def test_same_step_is_the_default_of_batches():
    assert make_batch().metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_a_batch_of_one_and_of_4096_pose_the_same_decisions():
    crowd = make_batch(DRAWN, 4096, successors=profile(DRAWN))
    first, _ = crowd.reset(seed=100)
    step = np.random.default_rng(1).uniform(-2, 2, (4096, 1)).astype(np.float32)
    second, rewards, *_ = crowd.step(step)
    for row in (0, 1, 4095):
        alone = make_batch(DRAWN, 1, successors=profile(DRAWN))
        np.testing.assert_array_equal(alone.reset(seed=100 + row)[0][0], first[row])
        seen, reward, *_ = alone.step(step[row : row + 1])
        np.testing.assert_array_equal(seen[0], second[row])
        assert reward[0] == rewards[row]


# -- Other people's checks, copies, the door ----------------------------------------------------------


@WIDE_ACTIONS
@pytest.mark.parametrize("successors", [None, "coefficients", "agent"])
def test_checkers_are_content(game, successors):
    given = {"coefficients": profile(game), "agent": agents.make("guard", game)}.get(successors)
    check_env(make(game, successors=given).unwrapped)
    check_env_for_stable_baselines(make(game, successors=given))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
def test_a_copy_faces_the_same_decisions(copied):
    env = make(DRAWN, successors=agents.make("guard", DRAWN))
    env.reset(seed=8)
    twin, action = copied(env), np.full(1, 0.4, dtype=np.float32)
    for _ in range(3):
        assert data_equivalence(twin.step(action), env.step(action), exact=True)
        assert data_equivalence(twin.reset(), env.reset(), exact=True)


@pytest.mark.parametrize(
    ("successors", "message"),
    [
        (np.ones(6), r"shape \(7,\); got shape \(6,\)"),
        (np.ones((7, 1)), r"shape \(7,\); got shape \(7, 1\)"),
        ([1, 1, 1, 1, 1, 1, 2.5], "±2; got 2.5 for episode 6"),
        ([1, 1, np.nan, 1, 1, 1, 1], "±2; got nan for episode 2"),
        ("guard", "or 'equilibrium'.*got 'guard'"),
        (1.0, r"got shape \(\)"),
    ],
)
@pytest.mark.parametrize("build", [make, make_batch])
def test_bad_successors_raise_with_what_is_allowed(build, successors, message):
    with pytest.raises(ValueError, match=message):
        build(successors=successors)


class Wild:
    """A successor that leaves its action space."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full((len(observation), 1), 9.0), None


def test_an_agent_that_leaves_its_action_space_is_refused():
    env = make_batch(successors=Wild())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"in \[-2, 2\]"):
        env.step(np.zeros((64, 1)))


def test_successors_are_copied():
    successors = np.ones(7)
    env, undisturbed = make(successors=successors), make()
    successors[:] = 0
    for each in (env, undisturbed):
        each.reset(seed=0)
    action = np.full(1, 0.4, dtype=np.float32)
    assert data_equivalence(env.step(action), undisturbed.step(action), exact=True)


def test_small_coefficient_bounds_have_successors_too():
    """The default successor plays 1 where it may; where the bound is smaller, the nearest that it may."""
    game = Game(train_then_deploy(1, 1), coefficient_bound=0.5)
    env, explicit = make(game), make(game, successors=np.full(2, 0.5))
    for seed in range(5):
        assert data_equivalence(env.reset(seed=seed), explicit.reset(seed=seed), exact=True)
        action = np.full(1, 0.25, dtype=np.float32)
        assert data_equivalence(env.step(action), explicit.step(action), exact=True)


@pytest.mark.parametrize(
    "successors", [b"equilibrium", 5, type, {1: 2}, [True, 1.0], [[1.0, 1.0]], [1.0, 9.0]], ids=repr
)
def test_successors_that_are_none_are_told_what_they_may_be(successors):
    with pytest.raises(
        ValueError, match=r"^successors must be an agent with predict, or coefficients, which must .*; got"
    ):
        gymnasium.make("mesa_env/BestResponse-v0", game=Game([1.0, 0.0]), successors=successors)
