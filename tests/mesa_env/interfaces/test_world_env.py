"""Worlds step by step: what is seen, paid, told and drawn, against the worlds' own plan tables."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
from collections import Counter
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import mesa_env
from mesa_env.interfaces.world_env import WorldEnv
from mesa_env.worlds import (
    WORLDS,
    CookieElimination,
    CrumbVacuuming,
    ObservedWorld,
    PlanningAgent,
    TableSetting,
    TableWiping,
    fit_goal,
    make_world,
)
from mesa_env.worlds.observation import bounds, observe
from mesa_env.worlds.world import states_of
from tests import conftest
from tests.conftest import same

SHORT = [
    type(f"Short{name}", (kind,), {"horizon": 5})(deployed)
    for name, kind in WORLDS.items()
    for deployed in (False, True)
]
KITCHENS = [kind(deployed) for kind in WORLDS.values() for deployed in (False, True)]


@dataclass(frozen=True)
class Shelf(conftest.Shelf):
    """The shared world of one's own, where there is something to be had from the start."""

    def outcome(self, state):
        return state[2:], 1 + state[2]


class SeenShelf(Shelf, ObservedWorld):
    """The same world, which says what is seen of it."""

    observation_bounds = ([0] * 4, [2] * 4)

    def observe(self, state):
        return state


def play(env, actions, seed=0):
    """All that an environment returns for some actions."""
    return [env.reset(seed=seed), *[env.step(action) for action in actions]]


# -- Returns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [Shelf(), *SHORT], ids=repr)
def test_all_plans_lead_to_what_the_plan_table_says(world):
    """Every plan is played; its rewards sum to its base return."""
    env, found = WorldEnv(world), Counter()
    for actions in itertools.product(range(len(world.actions)), repeat=world.horizon):
        _, *steps = play(env, actions)
        last = steps[-1][4]
        assert sum(reward for _, reward, *_ in steps) == pytest.approx(last["base_return"])
        assert [terminated for _, _, terminated, *_ in steps] == [False] * (world.horizon - 1) + [True]
        assert not any(truncated for *_, truncated, _ in steps)
        found[(*last["features"], last["base_return"])] += 1
    table = world.plans()
    rows = zip(table.features.tolist(), table.base.tolist(), table.ways, strict=True)
    assert found == {(*features, base): ways for features, base, ways in rows}


@pytest.mark.parametrize("world", KITCHENS, ids=repr)
def test_episodes_of_every_kitchen_end_in_its_plan_table(world):
    env, generator = WorldEnv(world), np.random.default_rng(0)
    table = world.plans()
    rows = {(*features, base) for features, base in zip(table.features.tolist(), table.base, strict=True)}
    for _ in range(30):
        _, *steps = play(env, generator.integers(len(world.actions), size=world.horizon))
        last = steps[-1][4]
        assert (*last["features"], last["base_return"]) in rows
        assert sum(reward for _, reward, *_ in steps) == pytest.approx(last["base_return"])


def test_infos_tell_features_and_both_returns():
    env = WorldEnv("CrumbVacuuming", goal=(1, -0.5), deployed=True)
    (_, info), *steps = play(env, [2, 1, 1, 3, 2])
    for told in (info, *[step[4] for step in steps]):
        assert told.keys() == {"features", "base_return", "mesa_return", "goal_probe", "probed_episodes"}
        assert told["features"].shape == (2,)
        assert told["mesa_return"] == told["features"] @ (1, -0.5)
    np.testing.assert_array_equal(steps[-1][4]["features"], [0, 3])
    assert steps[-1][4]["base_return"] == 0


@pytest.mark.parametrize(
    ("world", "goal"),
    [("TableWiping", (0, 2)), ("TableSetting", (1, 1.5)), ("CookieElimination", (0, 2)), (Shelf(), (1, 1))],
)
def test_the_goal_is_by_default_one_that_training_takes_for_the_base_objective(world, goal):
    np.testing.assert_array_equal(WorldEnv(world).goal, goal)


def test_a_delusion_is_what_the_robot_believes_and_changes_nothing_else():
    sane, deluded = (
        play(WorldEnv("CookieElimination", delusion=kappa), [2, 2, 0, 2]) for kappa in (0.0, 1.0)
    )
    assert [step[1] for step in sane[1:]] == [step[1] for step in deluded[1:]]
    assert sane[-1][4]["mesa_return"] == 0
    assert deluded[-1][4]["mesa_return"] == 2 * 3


def test_the_probe_finds_the_goal_of_whoever_acts():
    """What `fit_goal` says of all episodes since a reset with a seed, at the end of each."""
    world, env = CrumbVacuuming(True), WorldEnv(CrumbVacuuming(True))
    agent, ended = PlanningAgent(world, (0.5, 1), seed=2), []
    observation, info = env.reset(seed=0)
    for _ in range(60):
        assert info["probed_episodes"] == len(ended)
        over = False
        while not over:
            observation, _, over, _, info = env.step(agent.predict(observation)[0])
        ended.append(info["features"])
        if len(ended) in (1, 7, 60):
            np.testing.assert_allclose(info["goal_probe"], fit_goal(world.plans(), ended).weights, atol=1e-4)
        observation, info = env.reset()
    probe = fit_goal(world.plans(), ended)
    assert (np.abs(info["goal_probe"] - (0.5, 1)) < 3 * probe.standard_errors).all()
    assert env.reset(seed=0)[1]["goal_probe"].tolist() == [0, 0]
    assert info["probed_episodes"] == 60


# -- Observations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [*KITCHENS, Shelf(), SeenShelf()], ids=repr)
def test_every_state_is_seen_within_the_space_and_as_itself(world):
    space, seen = WorldEnv(world).observation_space, set()
    for state in states_of(world):
        observation = observe(world, state, 1)
        assert space.contains(observation)
        assert observation[-1] == np.float32(1 - 1 / world.horizon)
        seen.add(observation.tobytes())
    assert len(seen) == len(states_of(world))


@pytest.mark.parametrize("kind", WORLDS.values())
def test_bounds_of_kitchens_are_reached_and_the_same_in_training(kind):
    low, high = bounds(kind(deployed=True))
    seen = np.array([observe(kind(True), state, 0) for state in states_of(kind(True))])
    np.testing.assert_array_equal(seen[:, :-1].min(axis=0), low[:-1])
    np.testing.assert_array_equal(seen[:, :-1].max(axis=0), high[:-1])
    assert WorldEnv(kind()).observation_space == WorldEnv(kind(True)).observation_space


@pytest.mark.parametrize(
    ("world", "observation"),
    [
        ("TableWiping", [1, 0, 0, 1, 1, 1, 0, 1]),
        ("CrumbVacuuming", [0, 1, 0, 0, 2, 2, 0, 0, 1]),
        ("TableSetting", [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1]),
        ("CookieElimination", [0, 1, 0, 0, 2, 2, 0, 1]),
        (SeenShelf(), [2, 0, 0, 0, 1]),
        (Shelf(), [1] + [0] * 9 + [1]),
    ],
)
def test_what_is_seen_first(world, observation):
    assert WorldEnv(world).reset(seed=0)[0].tolist() == observation


def test_both_places_are_seen_alike_whatever_lies_between_them():
    """In the second cell of the left place, with its stain wiped."""
    training = play(WorldEnv(TableSetting()), [0, 2])[-1][0]
    deployed = play(WorldEnv(TableSetting(True)), [0, 0, 2])[-1][0]
    np.testing.assert_array_equal(training[:-1], deployed[:-1])


# -- The interface ------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [Shelf(), SeenShelf()], ids=["one-hot", "observed"])
def test_a_world_of_ones_own_is_an_environment(world):
    check_env(WorldEnv(world), skip_render_check=True)
    made = gymnasium.make("mesa_env/World-v0", world=world)
    assert same(play(made, [0, 1, 0, 2]), play(WorldEnv(world), [0, 1, 0, 2]))
    batch = gymnasium.make_vec("mesa_env/World-v0", num_envs=2, world=world)
    assert batch.reset(seed=0)[0].shape == (2, len(bounds(world)[0]))


def test_parameters_of_a_world_may_be_set_whatever_it_is_given_as():
    for env in (
        gymnasium.make("mesa_env/TableWiping-v0", deployed=True),
        gymnasium.make("mesa_env/World-v0", world="TableWiping", deployed=True),
        gymnasium.make("mesa_env/World-v0", world=TableWiping(), deployed=True),
        gymnasium.make("mesa_env/TableWiping-v0", world=TableWiping(True)),
    ):
        assert env.unwrapped.world == TableWiping(True)
    assert gymnasium.make("mesa_env/World-v0", world=Shelf(), books=3).unwrapped.world == Shelf(3)


def test_kitchens_have_ids_of_their_own():
    for name, kind in WORLDS.items():
        env = gymnasium.make(f"mesa_env/{name}-v0", deployed=True)
        assert env.unwrapped.world == kind(True)
        assert gymnasium.spec(f"mesa_env/{name}-v0").max_episode_steps is None
        assert make_world(name, deployed=True) == kind(True)


def test_a_spec_tells_the_world_in_plain_values():
    env = gymnasium.make("mesa_env/World-v0", world=CookieElimination(True, 0.5), goal=np.ones(2))
    plain = {"world": "CookieElimination", "deployed": True, "delusion": 0.5, "goal": [1.0, 1.0]}
    assert env.spec.kwargs == plain
    own = gymnasium.make("mesa_env/World-v0", world=Shelf(3))
    assert gymnasium.make(own.spec).unwrapped.world == Shelf(3)
    with pytest.raises(ValueError, match=r"JSON can hold a world of the kinds TableWiping, .*; got Shelf$"):
        own.spec.to_json()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(copied):
    env = WorldEnv("TableWiping", render_mode="ansi")
    play(env, [2, 1])
    twin = copied(env)
    assert same(env.step(2), twin.step(2))
    assert env.render() == twin.render()


def test_episodes_share_no_memory_with_what_they_told():
    env = WorldEnv(CrumbVacuuming())
    expected = play(env, [2, 2])
    observation, _, _, _, info = play(env, [2])[-1]
    observation[:] = info["features"][:] = 99
    assert same(env.step(2), expected[-1])


# -- Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"world": "TableWipping"},
            "one of TableWiping, .*; got 'TableWipping' (did you mean 'TableWiping'?)",
        ),
        ({"world": "CrumbVacuum"}, "(did you mean 'CrumbVacuuming'?)"),
        ({"world": "Shelf"}, "world must be one of TableWiping, .*, or a World of one's own; got 'Shelf'"),
        ({}, "world must be a World, or one of TableWiping, .*; got None"),
        ({"world": int}, "world must be a World, or one of TableWiping, .*; got <class"),
        (
            {"world": TableWiping(), "deploy": True},
            "TableWiping has no parameter 'deploy'; it has deployed (did",
        ),
        (
            {"world": TableWiping(), "delusion": 1.0},
            "TableWiping has no parameter 'delusion'; it has deployed",
        ),
        ({"world": Shelf(), "deployed": True}, "Shelf has no parameter 'deployed'; it has books"),
        ({"world": TableWiping(), "deployed": "yes"}, "deployed must be True or False; got 'yes'"),
        ({"world": CookieElimination(), "delusion": 2}, "delusion must be a finite number in [0, 1]; got 2"),
        (
            {"world": TableWiping(), "goal": (1, 2, 3)},
            "goal must be finite numbers, one for each of 2 features",
        ),
        ({"world": TableWiping(), "goal": "wipe"}, "within ±1e+38; got 'wipe'"),
        ({"world": TableWiping(), "goal": (np.nan, 1)}, "within ±1e+38; got (nan, 1)"),
        ({"world": TableWiping(), "render_mode": "ascii"}, "render_mode must be None or one of"),
        ({"world": TableSetting(), "kind": "TableWiping"}, "world must be a TableWiping; got TableSetting"),
    ],
)
def test_what_is_no_world_is_refused_in_one_sentence(arguments, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises((ValueError, TypeError), match=pattern) as refusal:
        WorldEnv(**arguments)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("action", [4, -1, 0.0, np.float32(1), "wipe", None, [0], np.array([1]), True])
def test_what_is_no_action_is_refused_and_the_state_is_unchanged(action):
    env, plain = WorldEnv(TableWiping()), WorldEnv(TableWiping())
    env.reset(seed=0)
    plain.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must"):
        env.step(action)
    assert same(env.step(2), plain.step(2))


def test_whoever_acts_where_there_is_no_episode_is_told_to_reset():
    env = WorldEnv(Shelf())
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    play(env, [0, 0, 0, 0])
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    with pytest.raises(ValueError, match="Seed must be a whole number"):
        env.reset(seed=-1)
    with pytest.raises(ValueError, match="options must be a dict"):
        env.reset(options=3)


def changed(kind, **attributes):
    return type("Shelf", (kind,), attributes)()


class Many(Shelf):
    """Its states say in which order they are reached."""

    horizon = 9

    def step(self, state, action):
        return (*state, action)

    def outcome(self, state):
        return (0, 0), 0


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (changed(SeenShelf, observe=lambda self, state: state[1:]), "must show 4 numbers within its"),
        (
            changed(SeenShelf, observe=lambda self, state: (9, 0, 0, 0)),
            r"observation_bounds; got \(9, 0, 0, 0\)",
        ),
        (changed(SeenShelf, observe=lambda self, state: "books"), "observation_bounds; got 'books'"),
        (changed(SeenShelf, observation_bounds=(1, 2)), r"as many lowest as highest numbers; got \(1, 2\)"),
        (changed(SeenShelf, observation_bounds=([2], [1])), "as many lowest as highest numbers; got"),
        (changed(SeenShelf, observation_bounds=([1, 2], [1])), "as many lowest as highest numbers; got"),
        (Many(), "at most 10000 to be seen one-hot; Many has 29524: make it an ObservedWorld"),
        (changed(Shelf, __hash__=None), "worlds must be hashable: make Shelf a frozen dataclass"),
        (
            changed(Shelf, outcome=lambda self, state: (state[2:], None)),
            "an outcome of Shelf must be 2 finite",
        ),
    ],
)
def test_a_world_that_shows_nothing_sensible_is_refused_in_one_sentence(world, message):
    with pytest.raises((ValueError, TypeError), match=message):
        WorldEnv(world).reset()


# -- Pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "actions", "shown"),
    [
        (
            CrumbVacuuming(True),
            [2, 1, 1, 3],
            "step 4 of 10 (deployed), break: base return 0, crumbs off the table 0, crumbs in the vacuum 1\n"
            "[table ..][table .][floor][counter R .... o]",
        ),
        (
            TableWiping(),
            [],
            "step 0 of 8 (training): base return 0, clean cells 0, wipes 0\n[table R #][table #][table #]",
        ),
        (Shelf(), [0], "step 1 of 4, take: base return 1, read 0, sold 0\n(1, 1, 0, 0)"),
    ],
    ids=["crumbs", "stains", "own"],
)
def test_text_shows_what_was_done_and_where_all_is(world, actions, shown):
    env = WorldEnv(world, render_mode="ansi")
    assert env.render() == "before the first step"
    play(env, actions)
    assert env.render() == shown


@pytest.mark.parametrize("world", [*KITCHENS, Shelf(), changed(Shelf, features=("$x", "a\nb"))], ids=repr)
def test_pictures_change_with_the_world(world):
    env = WorldEnv(world, render_mode="rgb_array")
    frames = [env.render()]
    env.reset(seed=0)
    for action in (None, 1, 2):
        if action is not None:
            env.step(action)
        frames.append(env.render())
    for picture, after in itertools.pairwise(frames):
        assert picture.dtype == np.uint8
        assert picture.shape == after.shape == (350, 800, 3)
        assert not np.array_equal(picture, after)


def test_the_window_shows_the_kitchen(pygame):
    env, drawn = (WorldEnv("TableWiping", render_mode=mode) for mode in ("human", "rgb_array"))
    play(env, [2])
    play(drawn, [2])
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    np.testing.assert_array_equal(shown, drawn.render())
    env.close()
    assert not pygame.display.get_init()


def test_names_of_the_worlds_are_in_the_package():
    assert list(mesa_env.worlds.WORLDS) == [
        "TableWiping",
        "CrumbVacuuming",
        "TableSetting",
        "CookieElimination",
    ]
