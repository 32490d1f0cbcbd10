"""Gymnasium's vector interface: the same games as one at a time, and as in Gymnasium's own batches."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.error import Error, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

from mesa_env import Game, train_then_deploy
from tests.conftest import same

ID = "mesa_env/DeceptiveAlignment-v0"
MODES = list(AutoresetMode)
FIXED = Game(train_then_deploy(2, 3), regularization=0.05)
DRAWN = Game([1, 0.5, 0, 0.25], discount=0.9, initial_goal=(-1, 1))
ROWS = 4


@pytest.fixture(params=[FIXED, DRAWN], ids=["fixed", "drawn"])
def game(request):
    return request.param


def make(game, num_envs=ROWS, **arguments):
    return gymnasium.make_vec(ID, num_envs=num_envs, game=game, **arguments)


def make_pair(game, mode, num_envs=ROWS, **arguments):
    """This package's batch, and Gymnasium's own of single environments."""
    own = make(game, num_envs, autoreset_mode=mode, **arguments)
    sync = make(
        game,
        num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **arguments,
    )
    assert isinstance(sync, SyncVectorEnv)
    return own, sync


def actions(game, steps, num_envs=ROWS, seed=7):
    bound = game.coefficient_bound
    n_uniforms = np.random.default_rng(seed).uniform(-bound, bound, (steps, num_envs, 1))
    return list(n_uniforms.astype(np.float32))


# -- One at a time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["initial", "current"])
def test_rows_are_single_games_bit_for_bit(game, judge):
    """Row i of a batch of seed s plays, game after game, what a single environment of seed s + i plays."""
    batch = make(game, judge=judge, autoreset_mode="SameStep")
    singles = [gymnasium.make(ID, game=game, judge=judge) for _ in range(ROWS)]
    observations, info = batch.reset(seed=30)
    assert info == {}
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(observations[i], single.reset(seed=30 + i)[0])
    ends = 0
    for step in actions(game, 3 * game.episodes):
        observations, rewards, terminated, truncated, infos = batch.step(step)
        for i, single in enumerate(singles):
            seen, reward, over, cut, info = single.step(step[i])
            if over:
                np.testing.assert_array_equal(infos["final_obs"][i], seen)
                seen, _ = single.reset()
            told = infos["final_info"] if over else infos
            np.testing.assert_array_equal(observations[i], seen)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, over, cut)
            assert {name: told[name][i].item() for name in info} == info
            ends += over
    assert ends == 3 * ROWS


def test_a_batch_of_one_and_of_4096_play_the_same_games(game):
    crowd = make(game, num_envs=4096)
    observations = [crowd.reset(seed=100)[0]]
    plan = actions(game, 2 * game.episodes + 2, num_envs=4096)
    transcript = [crowd.step(step) for step in plan]
    observations += [step[0] for step in transcript]
    for row in (0, 1, 2047, 4095):
        alone = make(game, num_envs=1)
        np.testing.assert_array_equal(alone.reset(seed=100 + row)[0][0], observations[0][row])
        for n, step in enumerate(plan):
            seen, reward, over, cut, info = alone.step(step[row : row + 1])
            np.testing.assert_array_equal(seen[0], observations[n + 1][row])
            assert (reward[0], over[0], cut[0]) == tuple(field[row] for field in transcript[n][1:4])
            assert {name: values[0] for name, values in info.items()} == {
                name: values[row] for name, values in transcript[n][4].items()
            }


def test_returns_of_the_initial_judge_are_minus_the_mesa_costs(by_hand, game):
    batch = make(game)
    goals = batch.reset(seed=3)[0][:, 0]
    plan = actions(game, game.episodes)
    steps = [batch.step(step) for step in plan]
    goals = steps[0][4]["goal"]
    returns = np.sum([step[1] for step in steps], axis=0)
    expected = [
        -by_hand(game, np.array(plan)[:, i, 0], float(goal)).mesa_costs[0] for i, goal in enumerate(goals)
    ]
    np.testing.assert_allclose(returns, expected, rtol=1e-9)
    assert len(set(goals)) == (ROWS if game.n_uniforms else 1)


# -- Gymnasium's own batches --------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["initial", "current"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_batches_are_gymnasiums_own_in_every_autoreset_mode(game, mode, judge):
    """Whole games in step, with every reset that the mode asks of the user."""
    pair = make_pair(game, mode, judge=judge)
    assert same(*(env.reset(seed=9) for env in pair))
    for step in actions(game, 3 * game.episodes + 2):
        ours, theirs = (env.step(step) for env in pair)
        assert same(ours, theirs)
        if mode is AutoresetMode.DISABLED and ours[2].any():
            assert same(*(env.reset(options={"reset_mask": ours[2].copy()}) for env in pair))


@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value
)
def test_batches_of_single_episodes_are_gymnasiums_own(mode):
    """A game that begins anew could end in the same breath; where its action is void it must not."""
    game = Game([1.0], initial_goal=(-1, 1))
    pair = make_pair(game, mode)
    assert same(*(env.reset(seed=9) for env in pair))
    for step in actions(game, 6):
        assert same(*(env.step(step) for env in pair))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_batches_are_gymnasiums_own_when_games_are_out_of_step(game, mode):
    """Games that some rows began later end later; so masks are neither empty nor full."""
    pair = make_pair(game, mode)
    assert same(*(env.reset(seed=9) for env in pair))
    restarts = {1: [True, False, False, False], 2: [False, True, True, False], 9: [False, False, True, True]}
    mixed = 0
    for n, step in enumerate(actions(game, 5 * game.episodes)):
        ours, theirs = (env.step(step) for env in pair)
        assert same(ours, theirs)
        mixed += ours[2].any() and not ours[2].all()
        if mode is AutoresetMode.DISABLED and ours[2].any():
            assert same(*(env.reset(options={"reset_mask": ours[2].copy()}) for env in pair))
        if n in restarts:
            seed = 50 if n == 2 else None
            assert same(
                *(env.reset(seed=seed, options={"reset_mask": np.array(restarts[n])}) for env in pair)
            )
    assert mixed >= 5


@pytest.mark.parametrize("seed", [[5, 1, 7, 7], [3, None, 4, None]], ids=str)
def test_a_seed_a_row(seed):
    pair = make_pair(DRAWN, AutoresetMode.SAME_STEP)
    for env in pair:
        env.reset(seed=0)
    assert same(*(env.reset(seed=seed) for env in pair))
    for step in actions(DRAWN, 2 * DRAWN.episodes):
        assert same(*(env.step(step) for env in pair))
    assert same(*(env.reset() for env in pair))


def test_without_a_seed_every_row_draws_its_own_goals():
    batch = make(DRAWN, num_envs=64)
    goals = np.concatenate([batch.reset()[0][:, 0], batch.reset()[0][:, 0]])
    assert len(set(goals)) == 128
    assert (np.abs(goals) <= 1).all()


@pytest.mark.parametrize("asked", [0.5, [0.1, -0.2, 0.3, 10]], ids=str)
def test_reset_begins_with_the_goals_that_are_asked_for(game, asked):
    batch = make(game)
    goals = batch.reset(options={"initial_goal": asked})[0][:, 0]
    np.testing.assert_array_equal(goals, np.broadcast_to(np.float32(asked), ROWS))
    step = batch.step(np.ones((ROWS, 1), dtype=np.float32))
    np.testing.assert_array_equal(step[4]["output"], np.broadcast_to(asked, ROWS))
    np.testing.assert_array_equal(step[1], np.zeros(ROWS))


def test_goals_that_are_asked_for_reach_only_the_rows_that_begin(game):
    batch, mask = make(game), np.array([True, False, False, True])
    before = batch.reset(seed=1)[0]
    after, _ = batch.reset(options={"reset_mask": mask, "initial_goal": 0.5})
    np.testing.assert_array_equal(after[mask, 0], [0.5, 0.5])
    np.testing.assert_array_equal(after[~mask], before[~mask])


def test_what_a_step_returned_is_not_changed_by_later_steps(game):
    batch = make(game, autoreset_mode="SameStep")
    results = [batch.reset(seed=0)]
    kept = copy.deepcopy(results)
    for step in actions(game, 2 * game.episodes):
        results.append(batch.step(step))
        kept.append(copy.deepcopy(results[-1]))
    assert same(results, kept)


@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value
)
def test_what_a_step_returned_may_be_overwritten_without_harm(game, mode):
    batch, undisturbed = make(game, autoreset_mode=mode), make(game, autoreset_mode=mode)
    for env in (batch, undisturbed):
        env.reset(seed=0)
    for step in actions(game, 2 * game.episodes + 2):
        result = batch.step(step)
        assert same(result, undisturbed.step(step))
        overwrite(result)


def overwrite(result):
    """Set every array of a nested structure to something else."""
    for part in result.values() if isinstance(result, dict) else result:
        if isinstance(part, dict):
            overwrite(part)
        elif part.dtype == bool:
            np.logical_not(part, out=part)
        else:
            part[:] = -7


# -- Wrappers -----------------------------------------------------------------------------------------


def test_recorded_statistics_are_minus_the_mesa_costs(by_hand, game):
    batch = wrappers.RecordEpisodeStatistics(make(game))
    batch.reset(seed=3)
    plan = actions(game, game.episodes)
    *_, (_, _, terminated, _, info) = [batch.step(step) for step in plan]
    assert terminated.all()
    first = make(game)
    first.reset(seed=3)
    goals = first.step(plan[0])[4]["goal"]
    expected = [
        -by_hand(game, np.array(plan)[:, i, 0], float(goal)).mesa_costs[0] for i, goal in enumerate(goals)
    ]
    np.testing.assert_allclose(info["episode"]["r"], expected, rtol=1e-6)
    np.testing.assert_array_equal(info["episode"]["l"], [game.episodes] * ROWS)


# -- Copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value
)
@pytest.mark.parametrize("played", [0, 2, 4, 5])
def test_a_copy_made_in_mid_game_goes_on_alike_and_alone(game, mode, copied, played):
    batch, plan = make(game, autoreset_mode=mode), actions(game, 3 * game.episodes)
    batch.reset(seed=8)
    for step in plan[:played]:
        batch.step(step)
    twin = copied(batch)
    ours = [twin.step(step) for step in plan[played:]]
    assert same(ours, [batch.step(step) for step in plan[played:]])
    assert same(twin.reset(), batch.reset())


# -- The door -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, "4", True, None], ids=repr)
@pytest.mark.parametrize("id", [ID, "mesa_env/BestResponse-v0"])
def test_numbers_of_environments_that_are_none_are_refused(id, num_envs):
    with pytest.raises(ValueError, match=r"num_envs must be a whole number in 1…\d+; got") as refusal:
        gymnasium.make_vec(id, num_envs=num_envs)
    assert repr(num_envs) in str(refusal.value)


@pytest.mark.parametrize("mode", ["same_step", "SAME_STEP", "", None, 1, True], ids=repr)
@pytest.mark.parametrize("id", [ID, "mesa_env/BestResponse-v0"])
def test_unknown_autoreset_modes_raise_with_the_known_ones(id, mode):
    with pytest.raises(ValueError, match=r"'NextStep', 'SameStep', 'Disabled'") as refusal:
        gymnasium.make_vec(id, num_envs=2, autoreset_mode=mode)
    assert repr(mode) in str(refusal.value)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_autoreset_modes_may_be_written_as_gymnasium_writes_them(mode):
    for written in (mode, mode.value):
        assert make(FIXED, autoreset_mode=written).metadata["autoreset_mode"] is mode


@pytest.mark.parametrize("render_mode", ["human", "rgb_array", "ansi", "braille"])
@pytest.mark.parametrize("id", [ID, "mesa_env/BestResponse-v0"])
def test_batches_refuse_to_be_rendered(id, render_mode):
    with pytest.raises(TypeError, match=f"must be None, since .* not drawn; got '{render_mode}'"):
        gymnasium.make_vec(id, num_envs=2, render_mode=render_mode)


@pytest.mark.parametrize(
    "seed", [[1, 2, 3], [], [1, 2, 3, -4], [1, 2, 3, 0.5], [1, 2, 3, "4"], -1, 0.5], ids=repr
)
def test_bad_seeds_are_refused_and_the_games_go_on(game, seed):
    batch, undisturbed = make(game), make(game)
    plan = actions(game, 2 * game.episodes)
    for env in (batch, undisturbed):
        env.reset(seed=0)
        env.step(plan[0])
    with pytest.raises((ValueError, Error), match=r"(?i)seed must be"):
        batch.reset(seed=seed)
    for step in plan[1:]:
        assert same(batch.step(step), undisturbed.step(step))


@pytest.mark.parametrize(
    ("numpys", "pythons"), [(np.int64(5), 5), (list(np.arange(4)), [0, 1, 2, 3])], ids=repr
)
def test_numpys_whole_numbers_are_seeds_like_pythons(numpys, pythons):
    assert same(make(DRAWN).reset(seed=numpys), make(DRAWN).reset(seed=pythons))


BAD_MASKS = [
    ([True, False, True, False], "4 booleans"),
    (np.array([True, False]), "4 booleans"),
    (np.ones((4, 1), dtype=bool), "4 booleans"),
    (np.ones(4), "4 booleans"),
    (None, "4 booleans"),
    (np.zeros(4, dtype=bool), "at least one"),
]


@pytest.mark.parametrize(("mask", "message"), BAD_MASKS, ids=lambda value: repr(value)[:24])
def test_bad_masks_are_refused_and_the_games_go_on(game, mask, message):
    batch, undisturbed = make(game), make(game)
    plan = actions(game, 2 * game.episodes)
    for env in (batch, undisturbed):
        env.reset(seed=0)
        env.step(plan[0])
    with pytest.raises(ValueError, match=message):
        batch.reset(options={"reset_mask": mask})
    for step in plan[1:]:
        assert same(batch.step(step), undisturbed.step(step))


@pytest.mark.parametrize(
    "asked", [10.5, np.nan, "0.5", [0.1, 0.2], [0.1, 0.2, 0.3, np.inf], [[0.1]] * 4], ids=repr
)
def test_a_refused_reset_leaves_the_games_as_they_were(game, asked):
    batch, undisturbed = make(game), make(game)
    plan = actions(game, 2 * game.episodes)
    for env in (batch, undisturbed):
        env.reset(seed=0)
        env.step(plan[0])
    with pytest.raises(ValueError, match="initial_goal must be"):
        batch.reset(options={"initial_goal": asked})
    for step in plan[1:]:
        assert same(batch.step(step), undisturbed.step(step))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(4), r"shape \(4, 1\); got shape \(4,\)"),
        (np.zeros((3, 1)), r"shape \(4, 1\); got shape \(3, 1\)"),
        (np.array([[0], [np.nan], [0], [0]]), r"in \[-2, 2\]; got"),
        (np.array([[0], [0], [0], [2.5]]), r"in \[-2, 2\]; got"),
    ],
)
@pytest.mark.parametrize("played", [0, 3, 4, 5])
def test_the_games_stand_still_at_a_bad_action(game, bad, message, played):
    batch, undisturbed = make(game), make(game)
    plan = actions(game, 2 * game.episodes + 2)
    for env in (batch, undisturbed):
        env.reset(seed=0)
        for step in plan[:played]:
            env.step(step)
    with pytest.raises(ValueError, match=message):
        batch.step(bad)
    for step in plan[played:]:
        assert same(batch.step(step), undisturbed.step(step))


def test_games_must_be_begun(game):
    batch = make(game, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        batch.step(np.zeros((ROWS, 1)))
    with pytest.raises(ResetNeeded, match="after a reset"):
        batch.reset(options={"reset_mask": np.array([True, False, False, False])})


def test_games_that_are_over_must_be_reset_where_autoreset_is_disabled(game):
    batch = make(game, autoreset_mode="Disabled")
    batch.reset(seed=0)
    plan = actions(game, game.episodes)
    for step in plan:
        batch.step(step)
    with pytest.raises(ResetNeeded, match="4 games are over"):
        batch.step(plan[0])
    batch.reset(options={"reset_mask": np.array([True, True, True, False])})
    with pytest.raises(ResetNeeded, match="1 games are over"):
        batch.step(plan[0])
    batch.reset(options={"reset_mask": np.array([False, False, False, True])})
    assert not batch.step(plan[0])[2].any()


# -- Spaces -------------------------------------------------------------------------------------------


def test_spaces_are_those_of_the_single_environment(game):
    batch, single = make(game), gymnasium.make(ID, game=game)
    assert batch.num_envs == ROWS
    assert batch.single_observation_space == single.observation_space
    assert batch.single_action_space == single.action_space
    observations, _ = batch.reset(seed=0)
    assert batch.observation_space.contains(observations)
    for _ in range(2 * game.episodes):
        observations, *_ = batch.step(batch.action_space.sample())
        assert batch.observation_space.contains(observations)


def test_the_data_equivalence_that_the_tests_rely_on_can_fail():
    array = np.array([1.0, 2.0])
    assert same({"a": [array]}, {"a": [array.copy()]})
    assert not same({"a": [array]}, {"a": [array + 1e-16, array]})
    assert not same(array, array.astype(np.float32))
    assert not same({"a": array}, {"b": array})
    assert not data_equivalence(array, array + 1e-9, exact=True)


def test_rows_draw_the_goals_of_their_own_seed_for_as_long_as_they_play():
    game = Game(train_then_deploy(1, 0), initial_goal=(-1.0, 1.0))
    batch = gymnasium.make_vec(ID, num_envs=3, game=game, autoreset_mode="SameStep")
    singles = [gymnasium.make(ID, game=game) for _ in range(3)]
    goals = batch.reset(seed=5)[0][:, 0]
    alone = [env.reset(seed=5 + row)[0][0] for row, env in enumerate(singles)]
    for _ in range(100):
        np.testing.assert_array_equal(goals, alone)
        goals = batch.step(np.zeros((3, 1), dtype=np.float32))[0][:, 0]
        alone = [env.reset()[0][0] for env in singles]
