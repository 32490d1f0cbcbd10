"""Gymnasium's interface to control: one controller plays every episode, and one goal judges it."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.error import Error, ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3.common.env_checker import check_env as check_env_for_stable_baselines

from mesa_env import Game, train_then_deploy

ID = "mesa_env/DeceptiveAlignment-v0"
JUDGES = ["initial", "current"]
SHORT = Game(train_then_deploy(3, 4))
DRAWN = Game(train_then_deploy(3, 4), discount=0.9, initial_goal=(-1, 1))


@pytest.fixture(params=JUDGES)
def judge(request):
    return request.param


def make(game=SHORT, **arguments):
    return gymnasium.make(ID, game=game, **arguments)


def plan(game, seed=7):
    bound = game.coefficient_bound
    actions = np.random.default_rng(seed).uniform(-bound, bound, (game.episodes, 1))
    return list(actions.astype(np.float32))


def play(env, actions):
    """All that the steps return."""
    return [env.step(action) for action in actions]


# -- Other people's checks ----------------------------------------------------------------------------


@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_both_checkers_are_content_without_any_warning(judge, render_mode):
    normalized = Game(train_then_deploy(1, 1), coefficient_bound=1)
    env = make(normalized, judge=judge, render_mode=render_mode)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_for_stable_baselines(env)


# -- The course of a game -----------------------------------------------------------------------------


def test_the_game_is_the_game_by_hand(by_hand, game, judge, coefficients):
    env = make(game, judge=judge)
    first, info = env.reset(seed=3)
    steps = play(env, coefficients)
    infos = [step[4] for step in steps]
    expected = by_hand(game, np.ravel(coefficients), infos[0]["goal"])
    assert info == {}
    assert first[0] == np.float32(expected.goals[0])
    for name, values in {
        "output": expected.outputs,
        "base_loss": expected.base_losses,
        "goal": expected.goals[:-1],
        "next_goal": expected.goals[1:],
    }.items():
        np.testing.assert_allclose([info[name] for info in infos], values, rtol=1e-9, atol=1e-12)
    assert [info["training"] for info in infos] == list(game.learning_rates > 0)
    assert {type(value) for info in infos for value in info.values()} == {float, bool}
    assert [step[2] for step in steps] == [False] * (game.episodes - 1) + [True]
    assert [step[3] for step in steps] == [False] * game.episodes
    rates, training = [*game.learning_rates, 0], [*(game.learning_rates > 0), False]
    for n, seen in enumerate([first, *(step[0] for step in steps)]):
        shares = [1 - n / game.episodes, sum(training[n:]) / max(1, sum(training))]
        np.testing.assert_allclose(seen, [expected.goals[n], rates[n], *shares], rtol=1e-6, atol=1e-7)
        assert env.observation_space.contains(seen)


def test_the_initial_judge_pays_by_the_first_goal(by_hand, game, coefficients):
    """The reward is −γ^n (y_n − θ_0)², and the return −J_0."""
    env = make(game, judge="initial")
    env.reset(seed=3)
    rewards, infos = zip(*((step[1], step[4]) for step in play(env, coefficients)), strict=True)
    expected = [
        -(game.discount**n) * (info["output"] - infos[0]["goal"]) ** 2 for n, info in enumerate(infos)
    ]
    np.testing.assert_allclose(rewards, expected, rtol=1e-12, atol=1e-15)
    cost = by_hand(game, np.ravel(coefficients), infos[0]["goal"]).mesa_costs[0]
    assert sum(rewards) == pytest.approx(-cost, rel=1e-9)
    assert all(type(reward) is float for reward in rewards)


def test_the_current_judge_pays_by_the_goal_of_the_episode(game, coefficients):
    """The reward is −(y_n − θ_n)²: 0 for one who plays 1, whatever becomes of its goal."""
    env = make(game, judge="current")
    env.reset(seed=3)
    for _, reward, _, _, info in play(env, coefficients):
        assert reward == pytest.approx(-((info["output"] - info["goal"]) ** 2), rel=1e-12)
    env.reset(seed=3)
    assert {step[1] for step in play(env, np.ones((game.episodes, 1)))} == {0.0}


def test_the_judges_differ_where_the_goal_has_moved():
    """c = 1 keeps the current judge content and costs the initial one; y = θ_0 does the reverse."""
    returns = {}
    for judge in JUDGES:
        env = make(judge=judge)
        for policy in ("myopic", "precommitted"):
            observation, _ = env.reset()
            total = 0.0
            for _ in range(SHORT.episodes):
                c = 1.0 if policy == "myopic" else np.clip(0.8 / observation[0], -2, 2)
                observation, reward, *_ = env.step(np.array([c], dtype=np.float32))
                total += reward
            returns[judge, policy] = total
    assert returns["current", "myopic"] == 0
    assert returns["initial", "myopic"] < -1
    assert returns["initial", "precommitted"] == pytest.approx(0, abs=1e-9)
    assert returns["current", "precommitted"] < -1


def test_the_default_is_the_posts_first_experiment_judged_by_the_first_goal():
    env, explicit = gymnasium.make(ID), make(Game(), judge="initial")
    assert env.reset(seed=0)[0].tolist() == explicit.reset(seed=0)[0].tolist()
    actions = plan(Game())
    assert data_equivalence(play(env, actions), play(explicit, actions), exact=True)


def test_a_game_that_is_over_asks_for_a_reset():
    env = make()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, dtype=np.float32))
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.unwrapped.step(np.zeros(1))
    for _ in range(2):
        env.reset()
        play(env, plan(SHORT))
        with pytest.raises(ResetNeeded, match="again after every end"):
            env.step(np.zeros(1, dtype=np.float32))


# -- Starting -----------------------------------------------------------------------------------------


def first_goal(env, **options):
    return float(env.reset(**options)[0][0])


def test_drawn_goals_are_reproducible_and_within_the_pair():
    env, other = make(DRAWN), make(DRAWN)
    goals = [first_goal(env, seed=5)] + [first_goal(env) for _ in range(200)]
    assert goals == [first_goal(other, seed=5)] + [first_goal(other) for _ in range(200)]
    assert -1 <= min(goals) < -0.9
    assert 0.9 < max(goals) <= 1
    assert first_goal(env, seed=6) != first_goal(env, seed=5) == goals[0]


def test_reset_abandons_the_game_that_was_played():
    env, actions = make(DRAWN), plan(DRAWN)
    env.reset(seed=1)
    whole = play(env, actions)
    env.reset(seed=1)
    play(env, actions[:3])
    env.reset(seed=1)
    assert data_equivalence(whole, play(env, actions), exact=True)


@pytest.mark.parametrize("asked", [0.25, -10, 0, np.float32(0.5), np.array([0.125])])
@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["fixed", "drawn"])
def test_reset_begins_with_the_goal_that_is_asked_for(game, asked):
    env = make(game)
    assert first_goal(env, options={"initial_goal": asked}) == float(np.squeeze(asked))
    _, reward, *_ = env.step(np.array([0.5], dtype=np.float32))
    assert reward == pytest.approx(-((0.5 * float(np.squeeze(asked))) ** 2))


@pytest.mark.parametrize("asked", [10.5, np.nan, "0.5", True, [0.1, 0.2]], ids=repr)
def test_a_refused_reset_leaves_the_game_as_it_was(asked):
    env, undisturbed, actions = make(), make(), plan(SHORT)
    for each in (env, undisturbed):
        each.reset(seed=0)
        play(each, actions[:2])
    with pytest.raises(ValueError, match="initial_goal must be") as refusal:
        env.reset(options={"initial_goal": asked})
    assert str(asked) in str(refusal.value)
    assert data_equivalence(play(env, actions[2:]), play(undisturbed, actions[2:]), exact=True)


# -- The door -----------------------------------------------------------------------------------------

BAD_ACTIONS = [
    (np.zeros(2, dtype=np.float32), r"shape \(1,\); got shape \(2,\)"),
    (np.zeros((1, 1)), r"shape \(1,\); got shape \(1, 1\)"),
    (np.float32(0.5), r"shape \(1,\); got shape \(\)"),
    (np.array([np.nan]), r"in \[-2, 2\]; got \[nan\]"),
    (np.array([-np.inf]), r"in \[-2, 2\]; got \[-inf\]"),
    (np.array([2.5]), r"in \[-2, 2\]; got \[2.5\]"),
]


@pytest.mark.parametrize(("action", "message"), BAD_ACTIONS, ids=lambda value: repr(value)[:24])
def test_a_bad_action_leaves_the_state_unchanged(judge, action, message):
    env, undisturbed, actions = make(judge=judge).unwrapped, make(judge=judge).unwrapped, plan(SHORT)
    for each in (env, undisturbed):
        each.reset(seed=0)
        play(each, actions[:3])
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert data_equivalence(play(env, actions[3:]), play(undisturbed, actions[3:]), exact=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"judge": "final"}, ValueError, "'initial' or 'current'; got 'final'"),
        ({"judge": None}, ValueError, "'initial' or 'current'; got None"),
        ({"game": [1, 0]}, TypeError, r"mesa_env.Game or its parameters; got \[1, 0\]"),
    ],
)
def test_bad_arguments_raise_with_what_is_allowed(arguments, error, message):
    with pytest.raises(error, match=message):
        gymnasium.make(ID, **arguments)
    with pytest.raises(error, match=message):
        gymnasium.make_vec(ID, num_envs=2, **arguments)


@pytest.mark.parametrize("seed", [-1, 0.5, "zero"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(Error, match="Seed must be"):
        make().reset(seed=seed)


# -- Copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("unwrapped", [False, True])
@pytest.mark.parametrize("played", [0, 3, 7])
def test_a_copy_made_in_mid_game_goes_on_alike_and_alone(copied, unwrapped, played):
    env, actions = make(DRAWN), plan(DRAWN)
    env = env.unwrapped if unwrapped else env
    env.reset(seed=8)
    play(env, actions[:played])
    twin = copied(env)
    ours = play(twin, actions[played:])
    assert data_equivalence(ours, play(env, actions[played:]), exact=True)
    assert first_goal(twin) == first_goal(env)


# -- Gymnasium's wrappers -----------------------------------------------------------------------------


def test_time_limit_truncates_in_the_course_of_a_game():
    env = wrappers.TimeLimit(make(), 3)
    env.reset()
    assert [step[2:4] for step in play(env, plan(SHORT)[:3])] == [(False, False)] * 2 + [(False, True)]


def test_time_limit_of_the_games_length_leaves_its_end_alone():
    env = make(max_episode_steps=SHORT.episodes)
    env.reset()
    assert [step[2] for step in play(env, plan(SHORT))] == [False] * (SHORT.episodes - 1) + [True]


def test_rescaled_actions_play_twice_the_coefficient():
    env, plain = wrappers.RescaleAction(make(), np.float32(-1), np.float32(1)), make()
    env.reset()
    plain.reset()
    actions = [np.array([a], dtype=np.float32) for a in (-1, -0.5, 0, 0.25, 0.5, 0.75, 1)]
    assert data_equivalence(play(env, actions), play(plain, [2 * a for a in actions]), exact=True)


def test_clipped_actions_play_the_bound():
    env, plain = wrappers.ClipAction(make()), make()
    env.reset()
    plain.reset()
    actions = [np.array([a], dtype=np.float32) for a in (-9, 2.5, 0.5, 3, 1, -2, 1e9)]
    clipped = [np.clip(a, -2, 2) for a in actions]
    assert data_equivalence(play(env, actions), play(plain, clipped), exact=True)


def test_recorded_statistics_are_minus_the_first_agents_mesa_cost(by_hand, game, coefficients):
    env = wrappers.RecordEpisodeStatistics(make(game, judge="initial"))
    env.reset(seed=1)
    steps = play(env, coefficients)
    cost = by_hand(game, np.ravel(coefficients), steps[0][4]["goal"]).mesa_costs[0]
    assert steps[-1][4]["episode"]["r"] == pytest.approx(-cost, rel=1e-6)
    assert steps[-1][4]["episode"]["l"] == game.episodes


def test_stacked_frames_are_the_last_observations():
    env, plain = wrappers.FrameStackObservation(make(), 3), make()
    seen = [plain.reset(seed=1)[0]]
    np.testing.assert_array_equal(env.reset(seed=1)[0], seen * 3)
    for n, action in enumerate(plan(SHORT)):
        seen.append(plain.step(action)[0])
        stacked = env.step(action)[0]
        np.testing.assert_array_equal(stacked, [seen[max(0, n + 1 - back)] for back in (2, 1, 0)])
